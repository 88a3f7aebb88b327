#include "report/html_style.h"

namespace rooftune::report {

const std::string_view kStyleSheet = R"css(
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c1e21;--soft:#62676f;--line:#e2e4e7;--before:#9aa1ab;
--after:#1769c2;--area:#1769c226;--roof:#c2570c;--good:#18794e;--bad:#b42318;--track:#f0f1f3}
@media(prefers-color-scheme:dark){:root{--bg:#131416;--card:#1c1e21;--ink:#eceef0;--soft:#a2a9b3;--line:#33373d;
--before:#79818c;--after:#5aa7f5;--area:#5aa7f52e;--roof:#f2934a;--good:#56c98f;--bad:#ff8a80;--track:#26292e}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1144px;margin:0 auto;padding:28px 16px 56px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:36px 0 4px}
p{margin:4px 0 12px}
.soft,small,th{color:var(--soft)}
.verdict{font-size:17px;margin:14px 0 18px;padding-left:12px;border-left:4px solid var(--good)}
.verdict.bad{border-color:var(--bad)}.verdict.even{border-color:var(--before)}
.tiles{display:grid;grid-template-columns:repeat(3,1fr);gap:10px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.tile small{display:block;line-height:1.4}
.tile b{display:block;font-size:24px;line-height:1.3;font-weight:650;font-variant-numeric:tabular-nums}
.tile .bad{color:var(--bad)}.tile .good{color:var(--good)}
.card{padding:10px 12px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:500;font-size:13px}
th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child>td{border-bottom:0}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.w{overflow-wrap:anywhere;min-width:9em}
tr:has(+tr.more)>td{border-bottom:0}tr.more>td{padding-top:0}tr.more summary{padding:0;font-size:13px}
.win{font-weight:650}
pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-x:auto;width:0;min-width:100%;margin:4px 0 10px;padding:8px 10px;
background:var(--track);border-radius:6px}
.ops{display:grid;gap:0}
.op{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,4fr) 76px 76px 58px 62px;gap:0 12px;align-items:center;padding:5px 0;
border-bottom:1px solid var(--line);font-size:14px;content-visibility:auto;contain-intrinsic-size:auto 46px}
.op:last-child{border-bottom:0}
.op>.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.op .who{overflow-wrap:anywhere;line-height:1.3}
.op .who small{display:block}
.head{color:var(--soft);font-size:13px}
.bars{position:relative;background:var(--track);border-radius:3px;padding:3px 0}
.bars i{display:block;height:7px;border-radius:0 3px 3px 0;min-width:1px}
.bars .before,.key .before{background:var(--before)}.bars .after,.key .after{background:var(--after)}
.bars i+i{margin-top:2px}
.bars u{position:absolute;top:0;bottom:0;width:2px;background:var(--roof)}
.key i,.key u{display:inline-block;width:12px;height:10px;border-radius:2px;margin-right:5px}
.key u{width:3px;background:var(--roof)}.key span{margin-right:16px;white-space:nowrap}
.key i.ring{background:none;border:2px solid var(--before);border-radius:50%;width:11px;height:11px}
.key i.dot{background:var(--after);border-radius:50%;width:11px;height:11px}
summary{cursor:pointer;color:var(--after);padding:6px 0}
svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--soft)}svg .axis{fill:var(--ink)}
svg.narrow{display:none}
.grid{stroke:var(--line);fill:none}
.roof{stroke:var(--roof);stroke-width:2.5;fill:none}svg .rooftext{fill:var(--roof)}
circle.after{fill:var(--after);fill-opacity:.75;stroke:var(--card);stroke-width:.8}
circle.before{fill:var(--card);fill-opacity:.01;stroke:var(--before);stroke-width:1.6}
circle.on{stroke:var(--ink);stroke-width:2.5}
path.line{fill:none;stroke-width:1.6}path.line.before{stroke:var(--before)}
path.area.after{fill:var(--area);stroke:var(--after);stroke-width:1.6}
svg .beforetext{fill:var(--soft)}svg .aftertext{fill:var(--after);font-weight:600}
.hover{fill:transparent}.hover.on{fill:var(--area)}
#tip{position:fixed;z-index:9;max-width:320px;background:var(--ink);color:var(--bg);font-size:13px;line-height:1.4;
padding:7px 10px;border-radius:6px;white-space:pre-line;overflow-wrap:anywhere;pointer-events:none}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:3px 16px;margin:0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media(max-width:760px){
main{padding:18px 12px 40px}
.tiles{grid-template-columns:1fr 1fr}
.tile b{font-size:20px}
svg.wide{display:none}svg.narrow{display:block}
.op{grid-template-columns:repeat(4,1fr);gap:2px 8px;contain-intrinsic-size:auto 92px}
.op .who,.op .bars{grid-column:1/-1}
.op>.n{text-align:left}
.head .bars,.head .who{display:none}
dl{grid-template-columns:1fr}dd{margin-bottom:6px}
}
@media print{details{display:block}}
)css";

// Native hover text comes late and cannot be styled: what is in <title> is shown at once, beside the pointer.
const std::string_view kScript = R"js(
for(const t of document.querySelectorAll('svg title')){t.parentNode.dataset.tip=t.textContent;t.remove()}
const tip=document.createElement('div');tip.id='tip';tip.hidden=true;document.body.append(tip);let on;
document.addEventListener('pointerover',e=>{
const s=e.target.closest?.('[data-tip]');on?.classList.remove('on');on=s;tip.hidden=!s;
if(s){s.classList.add('on');tip.textContent=s.dataset.tip}});
document.addEventListener('pointermove',e=>{if(on){
tip.style.left=Math.max(4,Math.min(e.clientX+14,innerWidth-tip.offsetWidth-6))+'px';
tip.style.top=(e.clientY+18+tip.offsetHeight>innerHeight?e.clientY-tip.offsetHeight-10:e.clientY+18)+'px'}});
)js";

}  // namespace rooftune::report
