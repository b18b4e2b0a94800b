// What changes in the course of a run (spec §6.2, §6.8): learning rate, sequences of a batch,
// weight of the MTP loss, speed of the router biases. Each is a curve over the tokens seen or the
// steps done, a pure function of the position: a resumed run needs no state of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace fathom {

// Where a run stands as it begins a step.
struct RunPosition {
  int64_t step = 1;    // this step's number, from 1
  int64_t tokens = 0;  // predicted tokens of all steps before
};

enum class CurveShape : uint8_t { kConstant, kLinear, kCosine };
enum class CurveUnit : uint8_t { kTokens, kSteps };

// A piece of a curve, up to `until` (exclusive) of its unit.
//   kConstant: value
//   kLinear:   from -> value in a straight line
//   kCosine:   value + (from - value) (1 + cos(pi x)) / 2, x from 0 to 1
struct CurvePiece {
  CurveShape shape = CurveShape::kConstant;
  CurveUnit unit = CurveUnit::kTokens;
  int64_t until = 0;
  double from = 0;
  double value = 0;
};

struct Curve {
  std::vector<CurvePiece> pieces;
  double rest = 0;  // after the last piece

  static Curve constant(double value) { return {.pieces = {}, .rest = value}; }
  friend bool operator==(const Curve&, const Curve&) = default;
};
bool operator==(const CurvePiece& a, const CurvePiece& b);

// A line or cosine runs from where the piece before ends, so both must have one unit unless it is
// the first; ends must rise within a unit. An error says which piece and why; what names the curve.
Status check_curve(const Curve& curve, const std::string& what);

// The first piece whose end is not reached decides; a warm-up of n steps from 0 gives value / n in
// step 1 and value in step n.
double curve_value(const Curve& curve, const RunPosition& position);

// The curve's value as a number of sequences: rounded to the nearest multiple of micro_batch, at
// least one.
int64_t batch_sequences(const Curve& curve, const RunPosition& position, int64_t micro_batch);

}  // namespace fathom
