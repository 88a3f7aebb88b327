#include "report/charts.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "report/html_text.h"

namespace rooftune::report {
namespace {

constexpr int kLeft = 58, kRight = 14, kTop = 16, kBottom = 44;
using Out = std::back_insert_iterator<std::string>;

/// Maps data to pixels inside the margins.
struct Frame {
  ChartSize size;
  double x0, x1, y0, y1;  // data ranges (already logarithms, where the axis is logarithmic)

  double x(double v) const { return kLeft + (v - x0) / (x1 - x0) * (size.width - kLeft - kRight); }
  double y(double v) const { return size.height - kBottom - (v - y0) / (y1 - y0) * (size.height - kTop - kBottom); }
  double right() const { return size.width - kRight; }
  double bottom() const { return size.height - kBottom; }
};

void open_svg(Out& out, const ChartSize& size, std::string_view label) {
  fmt::format_to(out, "<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", size.css_class,
                 size.width, size.height, label);
}

void text(Out& out, double x, double y, std::string_view anchor, std::string_view content, std::string_view css = "") {
  fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>", x, y, anchor, css,
                 content);
}

std::string power_of_ten(int exponent) {
  if (exponent >= 0 && exponent <= 4) return fmt::format("{}", static_cast<int>(std::pow(10, exponent)));
  if (exponent < 0 && exponent >= -3) return fmt::format("{:.{}f}", std::pow(10, exponent), -exponent);
  return fmt::format("1e{}", exponent);
}

struct Point {
  double intensity, gflops, share;
  const Operator* op;
  bool after;
};

/// Largest first, so that small points are drawn on top.
std::vector<Point> points_of(const Report& report) {
  std::vector<Point> points;
  for (const bool after : {false, true}) {
    double total = 0;
    for (const Operator& o : report.operators) total += (after ? o.after_ms : o.before_ms).value_or(0);
    for (const Operator& o : report.operators) {
      const double ms = (after ? o.after_ms : o.before_ms).value_or(0);
      const bool plottable = o.flops > 0 && o.bytes > 0 && ms > 0 && std::isfinite(o.flops / o.bytes / ms);
      if (plottable) points.push_back({o.flops / o.bytes, o.flops / ms * 1e-6, ms / total, &o, after});
    }
  }
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.share > b.share; });
  return points;
}

Frame roofline_frame(const std::vector<Point>& points, const Environment& env, const ChartSize& size) {
  double low_x = 0, high_x = 1, low_y = 0, high_y = 1;
  for (size_t i = 0; i < points.size(); ++i) {
    const double lx = std::log10(points[i].intensity), ly = std::log10(points[i].gflops);
    low_x = i == 0 ? lx : std::min(low_x, lx), high_x = i == 0 ? lx : std::max(high_x, lx);
    low_y = i == 0 ? ly : std::min(low_y, ly), high_y = i == 0 ? ly : std::max(high_y, ly);
  }
  if (env.peak_gflops > 0 && env.bandwidth_gbs > 0) {
    const double ridge = std::log10(env.peak_gflops / env.bandwidth_gbs);
    low_x = std::min(low_x, ridge - 0.5), high_x = std::max(high_x, ridge + 0.5);
    high_y = std::max(high_y, std::log10(env.peak_gflops));
  }
  return {size, low_x - 0.15, high_x + 0.15, std::max(low_y - 0.15, high_y - 6), high_y + 0.25};
}

void log_axes(Out& out, const Frame& f) {
  for (int e = static_cast<int>(std::ceil(f.x0)); e <= std::floor(f.x1); ++e) {
    fmt::format_to(out, "<path class=\"grid\" d=\"M{0:.1f} {1}V{2:.1f}\"/>", f.x(e), kTop, f.bottom());
    text(out, f.x(e), f.bottom() + 16, "middle", power_of_ten(e));
  }
  for (int e = static_cast<int>(std::ceil(f.y0)); e <= std::floor(f.y1); ++e) {
    fmt::format_to(out, "<path class=\"grid\" d=\"M{} {:.1f}H{:.1f}\"/>", kLeft, f.y(e), f.right());
    text(out, kLeft - 6, f.y(e) + 4, "end", power_of_ten(e));
  }
  text(out, (kLeft + f.right()) / 2, f.size.height - 6, "middle", "arithmetic intensity, FLOP per byte", "axis");
  text(out, kLeft + 4, kTop - 4, "start", "GFLOP/s", "axis");
}

void draw_roof(Out& out, const Frame& f, const Environment& env) {
  if (!(env.peak_gflops > 0 && env.bandwidth_gbs > 0)) return;
  const double peak = std::log10(env.peak_gflops), bandwidth = std::log10(env.bandwidth_gbs), ridge = peak - bandwidth;
  const double start = std::max(f.x0, f.y0 - bandwidth);  // where the slope enters the frame
  fmt::format_to(out, "<path class=\"roof\" d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}H{:.1f}\"/>", f.x(start),
                 f.y(start + bandwidth), f.x(ridge), f.y(peak), f.right());
  text(out, f.right(), f.y(peak) - 6, "end", fmt::format("peak {} GFLOP/s", significant(env.peak_gflops)), "rooftext");
  const double slope = std::atan2(f.y(start + bandwidth) - f.y(peak), f.x(ridge) - f.x(start)) * 180 / M_PI;
  const double middle = (start + ridge) / 2;
  fmt::format_to(out,
                 "<text class=\"rooftext\" text-anchor=\"middle\" transform=\"translate({:.1f} {:.1f}) "
                 "rotate({:.1f})\">{} GB/s</text>",
                 f.x(middle), f.y(middle + bandwidth) - 7, -slope, significant(env.bandwidth_gbs));
}

std::string tip(const Operator& o) {
  std::string t =
      fmt::format("{}\n{}\n{} → {}", escape(o.name), escape(o.op), ms_text(o.before_ms), ms_text(o.after_ms));
  if (o.roofline_ms > 0) {
    t += fmt::format("\nlimit {}", ms_text(o.roofline_ms));
    if (o.after_ms && *o.after_ms > 0) t += fmt::format(", {} reached", percent_text(o.roofline_ms / *o.after_ms));
  }
  return t + fmt::format("\n{}FLOP, {}, {} FLOP/byte", count_text(o.flops) + (o.flops < 1e3 ? " " : ""),
                         bytes_text(o.bytes), significant(o.flops / o.bytes));
}

}  // namespace

std::string roofline_chart(const Report& report, const ChartSize& size) {
  std::string svg;
  Out out(svg);
  const std::vector<Point> points = points_of(report);
  const Frame f = roofline_frame(points, report.environment, size);
  open_svg(out, size, "Roofline plot: speed of every group against its arithmetic intensity");
  log_axes(out, f);
  draw_roof(out, f, report.environment);
  const double largest = size.width > 600 ? 15 : 10;
  for (const Point& p : points) {
    const double y = std::log10(p.gflops);
    if (y < f.y0) continue;
    fmt::format_to(out, "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"><title>{}{}</title></circle>",
                   p.after ? "after" : "before", f.x(std::log10(p.intensity)), f.y(y),
                   2.5 + largest * std::sqrt(p.share), tip(*p.op), p.after ? "" : "\n(before)");
  }
  return svg += "</svg>";
}

namespace {

using Timeline = std::vector<MemoryPoint>;

size_t peak_of(const Timeline& line) {
  const auto by_bytes = [](const MemoryPoint& a, const MemoryPoint& b) { return a.live_bytes < b.live_bytes; };
  return static_cast<size_t>(std::max_element(line.begin(), line.end(), by_bytes) - line.begin());
}

/// Steps as (first, last, highest) runs, at most about one per two pixels.
template <typename F>
void for_buckets(const Timeline& line, int pixels, F&& f) {
  const size_t n = line.size(), buckets = std::min<size_t>(n, static_cast<size_t>(pixels) / 2);
  for (size_t b = 0; b < buckets; ++b) {
    const size_t begin = b * n / buckets, end = (b + 1) * n / buckets;
    size_t top = begin;
    for (size_t i = begin; i < end; ++i)
      if (line[i].live_bytes > line[top].live_bytes) top = i;
    f(begin, end, top);
  }
}

void draw_timeline(Out& out, const Frame& f, const Timeline& line, std::string_view css, bool filled) {
  if (line.empty()) return;
  const auto x = [&](size_t i) { return f.x(static_cast<double>(i) / static_cast<double>(line.size())); };
  std::string path = fmt::format("M{:.1f} {:.1f}", x(0), f.bottom());
  for_buckets(line, f.size.width, [&](size_t, size_t end, size_t top) {
    fmt::format_to(std::back_inserter(path), "V{:.1f}H{:.1f}", f.y(static_cast<double>(line[top].live_bytes)), x(end));
  });
  fmt::format_to(out, "<path class=\"{} {}\" d=\"{}V{:.1f}\"/>", css, filled ? "area" : "line", path, f.bottom());
}

void draw_peak(Out& out, const Frame& f, const Timeline& line, std::string_view css, std::string_view word) {
  if (line.empty()) return;
  const size_t peak = peak_of(line);
  const double x = f.x((static_cast<double>(peak) + 0.5) / static_cast<double>(line.size()));
  const double y = f.y(static_cast<double>(line[peak].live_bytes));
  const bool left = x > (kLeft + f.right()) / 2;
  fmt::format_to(out, "<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>", css, x, y);
  text(out, x + (left ? -8 : 8), y - 5, left ? "end" : "start",
       fmt::format("{} {}", word, bytes_text(static_cast<double>(line[peak].live_bytes))), fmt::format("{}text", css));
}

/// A round step that gives four to eight lines up to `top`.
double grid_step(double top) {
  const double raw = top / 5, power = std::pow(10, std::floor(std::log10(raw)));
  return power * (raw / power < 1.5 ? 1 : raw / power < 3.5 ? 2 : raw / power < 7.5 ? 5 : 10);
}

}  // namespace

std::string memory_chart(const Report& report, const ChartSize& size) {
  std::string svg;
  Out out(svg);
  double top = 1;
  for (const Timeline* line : {&report.memory_before, &report.memory_after})
    for (const MemoryPoint& p : *line) top = std::max(top, static_cast<double>(p.live_bytes));
  const Frame f{size, 0, 1, 0, top * 1.12};
  open_svg(out, size, "Memory timeline: bytes of activations alive at every step");
  for (double v = 0; v <= f.y1; v += grid_step(top)) {
    fmt::format_to(out, "<path class=\"grid\" d=\"M{} {:.1f}H{:.1f}\"/>", kLeft, f.y(v), f.right());
    text(out, kLeft - 6, f.y(v) + 4, "end", bytes_text(v));
  }
  text(out, kLeft, f.bottom() + 16, "start", "first step");
  text(out, f.right(), f.bottom() + 16, "end", "last step");
  draw_timeline(out, f, report.memory_before, "before", false);
  draw_timeline(out, f, report.memory_after, "after", true);
  draw_peak(out, f, report.memory_before, "before", "before: peak");
  draw_peak(out, f, report.memory_after, "after", "after: peak");
  const Timeline& line = report.memory_after;
  for_buckets(line, size.width, [&](size_t begin, size_t end, size_t highest) {
    const double n = static_cast<double>(line.size()), x = f.x(static_cast<double>(begin) / n);
    fmt::format_to(
        out,
        "<rect class=\"hover\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{}\n{}</title></rect>",
        x, kTop, f.x(static_cast<double>(end) / n) - x, f.bottom() - kTop, escape(line[highest].step),
        bytes_text(static_cast<double>(line[highest].live_bytes)));
  });
  return svg += "</svg>";
}

}  // namespace rooftune::report
