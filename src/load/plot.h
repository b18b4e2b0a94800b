// The picture of a load, as SVG that needs nothing else: how the times to the first token and
// between tokens are distributed, and the tokens a second over time; one colour for each server.
#pragma once

#include <string>
#include <vector>

#include "load/load_log.h"

namespace fathom {

struct PlotSeries {
  std::string name;
  std::vector<double> first_ms;      // time to first token, of each request
  std::vector<double> gap_ms;        // between tokens
  std::vector<double> tokens_per_s;  // over time
  double step_s = 1;                 // between values of tokens_per_s
};

PlotSeries plot_series_of(std::string name, const LoadLog& log);

// Any number of series, each of them may be empty; values that are not finite are left out.
std::string load_plot_svg(const std::string& title, const std::vector<PlotSeries>& series);

}  // namespace fathom
