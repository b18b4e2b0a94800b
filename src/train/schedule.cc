#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "kernels/math.h"

namespace fathom {
namespace {

int64_t coordinate(CurveUnit unit, const RunPosition& position) {
  switch (unit) {
    case CurveUnit::kTokens:
      return position.tokens;
    case CurveUnit::kSteps:
      return position.step;
  }
  return 0;
}

double shape_value(const CurvePiece& piece, double x) {
  switch (piece.shape) {
    case CurveShape::kConstant:
      return piece.value;
    case CurveShape::kLinear:
      return piece.from + (piece.value - piece.from) * x;
    case CurveShape::kCosine: {
      double sin = 0.0, cos = 0.0;
      sin_cos_f64(std::numbers::pi * x, &sin, &cos);
      return piece.value + (piece.from - piece.value) * 0.5 * (1.0 + cos);
    }
  }
  return piece.value;
}

}  // namespace

bool operator==(const CurvePiece& a, const CurvePiece& b) {
  return a.shape == b.shape && a.unit == b.unit && a.until == b.until && a.from == b.from &&
         a.value == b.value;
}

Status check_curve(const Curve& curve, const std::string& what) {
  int64_t reached[2] = {0, 0};  // by unit
  for (size_t i = 0; i < curve.pieces.size(); ++i) {
    const CurvePiece& piece = curve.pieces[i];
    int64_t& end = reached[static_cast<size_t>(piece.unit)];
    const std::string_view unit = piece.unit == CurveUnit::kTokens ? " tokens" : " steps";
    if (piece.until <= end) {
      return invalid_error(what, ": piece ", i + 1, " ends at ", piece.until, unit,
                           ", which is not after ", end, "; ends must rise");
    }
    end = piece.until;
    if (!std::isfinite(piece.value) || !std::isfinite(piece.from))
      return invalid_error(what, ": piece ", i + 1, " has a value that is not finite");
    if (piece.shape != CurveShape::kConstant && i > 0 && curve.pieces[i - 1].unit != piece.unit) {
      return invalid_error(what, ": piece ", i + 1, " is a slope by", unit,
                           ", but the piece before it ends by the other unit, so where it begins "
                           "is unknown; put a constant piece between them");
    }
  }
  if (!std::isfinite(curve.rest)) return invalid_error(what, ": the last value is not finite");
  return {};
}

double curve_value(const Curve& curve, const RunPosition& position) {
  int64_t begin = 0;
  for (const CurvePiece& piece : curve.pieces) {
    const int64_t at = coordinate(piece.unit, position);
    if (at < piece.until) {
      const double x = static_cast<double>(at - begin) / static_cast<double>(piece.until - begin);
      return shape_value(piece, std::clamp(x, 0.0, 1.0));
    }
    begin = piece.until;
  }
  return curve.rest;
}

int64_t batch_sequences(const Curve& curve, const RunPosition& position, int64_t micro_batch) {
  FATHOM_CHECK(micro_batch >= 1, "micro_batch ", micro_batch);
  const double n_micro = curve_value(curve, position) / static_cast<double>(micro_batch);
  return std::max<int64_t>(1, static_cast<int64_t>(n_micro + 0.5)) * micro_batch;
}

}  // namespace fathom
