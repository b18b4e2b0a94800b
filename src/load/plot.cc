#include "load/plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/str_cat.h"
#include "load/values.h"

namespace fathom {

namespace {

constexpr double kWidth = 760;
constexpr double kLeft = 64, kPlotWidth = kWidth - kLeft - 24;
constexpr double kPlotHeight = 150, kRowHeight = 222, kTop = 74;
constexpr size_t kPointsMax = 240;  // of a line
constexpr double kLogFloor = 0.01;  // ms: below it times are drawn as this
// Told apart by people who see few colours, too (Okabe, Ito 2008).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73",
                                    "#cc79a7", "#e69f00", "#56b4e9"};

struct Point {
  double x = 0, y = 0;
};
struct Axis {
  double low = 0, high = 1;
  bool is_log = false;
  std::vector<double> ticks;

  double at(double value) const {  // 0 to 1
    if (is_log) return std::log(value / low) / std::log(high / low);
    return (value - low) / (high - low);
  }
};

std::string colour(size_t i) { return kColours[i % std::size(kColours)]; }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (static_cast<unsigned char>(c) < ' ') {
      out += ' ';
    } else {
      out += c;
    }
  }
  return out;
}

std::string number(double value) { return fixed_digits(value, 1); }

// "0.5", "20", "1000": a tick's number without needless zeros.
std::string tick_text(double value) { return str_cat(std::round(value * 1e6) / 1e6); }

// From nothing to at least high, in steps of 1, 2 or 5.
Axis linear_axis(double high) {
  Axis axis;
  high = std::max(high, 1e-6);
  const double raw = high / 4;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = power * 10;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (power * factor >= raw) {
      step = power * factor;
      break;
    }
  }
  const auto n = static_cast<int>(std::ceil(high / step - 1e-9));
  for (int i = 0; i <= n; ++i) axis.ticks.push_back(step * i);
  axis.high = step * std::max(n, 1);
  return axis;
}

// Whole steps of 1, 2, 5 around the values.
Axis log_axis(double low, double high) {
  Axis axis;
  axis.is_log = true;
  low = std::max(low, kLogFloor);
  high = std::max(high, low * 1.01);
  double below = kLogFloor, above = 0;
  for (int power = -2; power <= 9 && above == 0; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, power);
      if (tick <= low) below = tick;
      if (tick >= high && above == 0) above = tick;
    }
  }
  axis.low = below;
  axis.high = above > below ? above : high;
  const bool is_wide = axis.high / axis.low > 2000;
  for (int power = -2; power <= 9; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, power);
      const bool is_inside = tick >= axis.low * 0.999 && tick <= axis.high * 1.001;
      if (is_inside && (!is_wide || factor == 1)) axis.ticks.push_back(tick);
    }
  }
  return axis;
}

std::string text_at(double x, double y, std::string_view anchor, std::string_view text,
                    std::string_view more = "") {
  return str_cat("<text x=\"", number(x), "\" y=\"", number(y), "\" text-anchor=\"", anchor, "\"",
                 more, ">", escaped(text), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, std::string_view stroke) {
  return str_cat("<line x1=\"", number(x1), "\" y1=\"", number(y1), "\" x2=\"", number(x2),
                 "\" y2=\"", number(y2), "\" stroke=\"", stroke, "\"/>\n");
}

// A chart with its grid; lines[i] is drawn in the colour of series i.
std::string chart(double top, std::string_view title, const Axis& x, const Axis& y,
                  const std::vector<std::vector<Point>>& lines) {
  const double bottom = top + kPlotHeight;
  const auto px = [&](double value) { return kLeft + kPlotWidth * x.at(value); };
  const auto py = [&](double value) { return bottom - kPlotHeight * y.at(value); };
  std::string out = text_at(kLeft, top - 10, "start", title, " font-weight=\"bold\"");
  for (const double tick : y.ticks) {
    out += line(kLeft, py(tick), kLeft + kPlotWidth, py(tick), "#dddddd");
    out += text_at(kLeft - 8, py(tick) + 4, "end", tick_text(tick));
  }
  for (const double tick : x.ticks) {
    out += line(px(tick), top, px(tick), bottom, "#dddddd");
    out += text_at(px(tick), bottom + 16, "middle", tick_text(tick));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    str_append(out, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"", colour(i),
               "\" points=\"");
    for (const Point& point : lines[i])
      str_append(out, number(px(point.x)), ",", number(py(point.y)), " ");
    out += "\"/>\n";
  }
  return out;
}

// Which share of the values, in percent, is at most so large.
std::vector<Point> shares(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(),
                              [](double value) { return !std::isfinite(value); }),
               values.end());
  std::sort(values.begin(), values.end());
  std::vector<Point> out;
  const size_t n = std::min(values.size(), kPointsMax);
  for (size_t i = 0; i < n; ++i) {
    const size_t at = n == 1 ? 0 : i * (values.size() - 1) / (n - 1);
    const double share = static_cast<double>(at + 1) / static_cast<double>(values.size());
    out.push_back({std::max(values[at], kLogFloor), 100 * share});
  }
  if (!out.empty()) out.insert(out.begin(), {out.front().x, 0});
  return out;
}

std::string shares_chart(double top, std::string_view title,
                         const std::vector<const std::vector<double>*>& values) {
  std::vector<std::vector<Point>> lines;
  double low = 0, high = 0;
  for (const auto* one : values) {
    lines.push_back(shares(*one));
    if (lines.back().empty()) continue;
    low = low == 0 ? lines.back().front().x : std::min(low, lines.back().front().x);
    high = std::max(high, lines.back().back().x);
  }
  Axis y;
  y.high = 100;
  y.ticks = {0, 25, 50, 75, 100};
  return chart(top, title, high == 0 ? log_axis(1, 1000) : log_axis(low, high), y, lines);
}

std::string time_chart(double top, const std::vector<PlotSeries>& series) {
  std::vector<std::vector<Point>> lines;
  double seconds = 0, most = 0;
  for (const PlotSeries& one : series) {
    std::vector<Point>& points = lines.emplace_back();
    for (size_t i = 0; i < one.tokens_per_s.size(); ++i) {
      if (!std::isfinite(one.tokens_per_s[i])) continue;
      points.push_back({(static_cast<double>(i) + 0.5) * one.step_s, one.tokens_per_s[i]});
      seconds = std::max(seconds, points.back().x);
      most = std::max(most, points.back().y);
    }
  }
  return chart(top, "tokens a second, over the seconds measured", linear_axis(seconds),
               linear_axis(most), lines);
}

}  // namespace

PlotSeries plot_series_of(std::string name, const LoadLog& log) {
  PlotSeries out;
  out.name = std::move(name);
  int64_t n_tokens = 0, n_pieces = 0;
  for (const RequestRecord& record : log.records()) {
    if (record.outcome != Outcome::kCompleted) continue;
    if (record.n_pieces > 0) out.first_ms.push_back(1e3 * (record.first_s - record.due_s));
    n_tokens += record.usage.completion_tokens;
    n_pieces += record.n_pieces;
  }
  for (const float gap : log.gaps()) out.gap_ms.push_back(1e3 * double{gap});
  // A piece may hold several tokens: those that were drafted, for example.
  const double per_piece =
      n_pieces > 0 ? static_cast<double>(n_tokens) / static_cast<double>(n_pieces) : 1;
  const std::vector<int64_t>& pieces = log.pieces();
  const size_t n_buckets = std::max<size_t>(1, (pieces.size() + 119) / 120);
  out.step_s = static_cast<double>(n_buckets) * LoadLog::kBucketSeconds;
  for (size_t i = 0; i < pieces.size(); i += n_buckets) {
    int64_t sum = 0;
    for (size_t j = i; j < std::min(i + n_buckets, pieces.size()); ++j) sum += pieces[j];
    out.tokens_per_s.push_back(static_cast<double>(sum) * per_piece / out.step_s);
  }
  return out;
}

std::string load_plot_svg(const std::string& title, const std::vector<PlotSeries>& series) {
  const double legend = 20 * static_cast<double>(series.size());
  const double height = kTop + legend + 3 * kRowHeight - 36;
  std::string out =
      str_cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", number(kWidth), "\" height=\"",
              number(height), "\" viewBox=\"0 0 ", number(kWidth), " ", number(height),
              "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
              "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
  out += text_at(kLeft, 28, "start", title, " font-size=\"15\" font-weight=\"bold\"");
  std::vector<const std::vector<double>*> first, gaps;
  for (size_t i = 0; i < series.size(); ++i) {
    const double y = 42 + 20 * static_cast<double>(i);
    str_append(out, "<rect x=\"", number(kLeft), "\" y=\"", number(y),
               "\" width=\"12\" height=\"12\" fill=\"", colour(i), "\"/>\n");
    out += text_at(kLeft + 20, y + 11, "start", series[i].name);
    first.push_back(&series[i].first_ms);
    gaps.push_back(&series[i].gap_ms);
  }
  const double top = kTop + legend;
  out += shares_chart(top, "time to first token: % of requests within so many ms", first);
  out += shares_chart(top + kRowHeight, "between tokens: % within so many ms", gaps);
  out += time_chart(top + 2 * kRowHeight, series);
  return out + "</svg>\n";
}

}  // namespace fathom
