// The report's plots as inline SVG. Each is drawn twice, for wide and for narrow screens, since text in a scaled plot
// would not stay readable.
#pragma once
#include <string>

#include "report/report.h"

namespace rooftune::report {

struct ChartSize {
  int width, height;
  std::string_view css_class;
};
inline constexpr ChartSize kWide{1080, 440, "wide"}, kNarrow{360, 340, "narrow"};

/// Intensity (FLOP/byte) against speed (GFLOP/s), both logarithmic: the roof of `environment`, a filled point per
/// operator after, a ring before, area by share of time. Operators without arithmetic, bytes or time are left out.
std::string roofline_chart(const Report& report, const ChartSize& size);

/// Live bytes over the steps of a run, before and after (each stretched to the full width), with their peaks.
std::string memory_chart(const Report& report, const ChartSize& size);

}  // namespace rooftune::report
