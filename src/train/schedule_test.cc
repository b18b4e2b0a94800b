// Goal: the curves are those of the report. Method: the published schedule of the 671B model, value
// by value (spec §6.2).
#include "train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace fathom {
namespace {

constexpr int64_t kB = 1'000'000'000;
constexpr int64_t kT = 1'000 * kB;
using Shape = CurveShape;
using Unit = CurveUnit;

const Curve kLearningRate = {
    .pieces = {{Shape::kLinear, Unit::kSteps, 2000, 0, 2.2e-4},
               {Shape::kConstant, Unit::kTokens, 10 * kT, 0, 2.2e-4},
               {Shape::kCosine, Unit::kTokens, 14'300 * kB, 2.2e-4, 2.2e-5},
               {Shape::kConstant, Unit::kTokens, 14'633 * kB, 0, 2.2e-5}},
    .rest = 7.3e-6};
const Curve kBatch = {.pieces = {{Shape::kLinear, Unit::kTokens, 469 * kB, 3072, 15360}},
                      .rest = 15360};

double learning_rate(int64_t step, int64_t tokens) {
  return curve_value(kLearningRate, {.step = step, .tokens = tokens});
}

TEST(Schedule, LearningRateOfThe671BRun) {
  ASSERT_TRUE(check_curve(kLearningRate, "learning_rate").ok());
  EXPECT_DOUBLE_EQ(learning_rate(1, 0), 2.2e-4 / 2000);
  EXPECT_DOUBLE_EQ(learning_rate(1000, 12 * kB), 1.1e-4);
  EXPECT_DOUBLE_EQ(learning_rate(2000, 25 * kB), 2.2e-4);
  EXPECT_DOUBLE_EQ(learning_rate(100'000, 10 * kT - 1), 2.2e-4);
  for (int64_t tokens : {10 * kT, 11 * kT, 12'150 * kB, 14'299 * kB}) {
    const double x = static_cast<double>(tokens - 10 * kT) / 4.3e12;
    const double want = 2.2e-5 + 0.5 * (2.2e-4 - 2.2e-5) * (1 + std::cos(std::numbers::pi * x));
    EXPECT_NEAR(learning_rate(200'000, tokens), want, 1e-15) << tokens;
  }
  EXPECT_DOUBLE_EQ(learning_rate(240'000, 14'300 * kB), 2.2e-5);
  EXPECT_DOUBLE_EQ(learning_rate(250'000, 14'633 * kB), 7.3e-6);
  EXPECT_DOUBLE_EQ(learning_rate(260'000, 14'800 * kB), 7.3e-6);
}

TEST(Schedule, BatchOfThe671BRun) {
  EXPECT_EQ(batch_sequences(kBatch, {1, 0}, 1), 3072);
  EXPECT_EQ(batch_sequences(kBatch, {9'000, 469 * kB / 2}, 1), 9216);
  EXPECT_EQ(batch_sequences(kBatch, {20'000, 469 * kB}, 1), 15360);
  EXPECT_EQ(batch_sequences(kBatch, {200'000, 14 * kT}, 1), 15360);
  EXPECT_EQ(batch_sequences(kBatch, {9'001, 469 * kB / 2}, 1000), 9000);  // whole micro-batches
  EXPECT_EQ(batch_sequences(Curve::constant(3), {1, 0}, 8), 8);
}

TEST(Schedule, MtpWeightAndBiasSpeedOfThe671BRun) {
  const Curve lambda = {.pieces = {{Shape::kConstant, Unit::kTokens, 10 * kT, 0, 0.3}},
                        .rest = 0.1};
  EXPECT_EQ(curve_value(lambda, {1, 0}), 0.3);
  EXPECT_EQ(curve_value(lambda, {1, 10 * kT - 1}), 0.3);
  EXPECT_EQ(curve_value(lambda, {1, 10 * kT}), 0.1);
  const Curve gamma = {.pieces = {{Shape::kConstant, Unit::kTokens, 14'300 * kB, 0, 0.001}},
                       .rest = 0.0};
  EXPECT_EQ(curve_value(gamma, {1, 14'299 * kB}), 0.001);
  EXPECT_EQ(curve_value(gamma, {1, 14'300 * kB}), 0.0);
}

TEST(Schedule, WarmUpStableDecayBySteps) {
  const Curve curve = {.pieces = {{Shape::kLinear, Unit::kSteps, 10, 0, 1.0},
                                  {Shape::kConstant, Unit::kSteps, 80, 0, 1.0},
                                  {Shape::kLinear, Unit::kSteps, 100, 1.0, 0.0}},
                       .rest = 0.0};
  ASSERT_TRUE(check_curve(curve, "learning_rate").ok());
  EXPECT_DOUBLE_EQ(curve_value(curve, {5, 0}), 0.5);
  EXPECT_DOUBLE_EQ(curve_value(curve, {79, 0}), 1.0);
  EXPECT_DOUBLE_EQ(curve_value(curve, {90, 0}), 0.5);
  EXPECT_DOUBLE_EQ(curve_value(curve, {100, 0}), 0.0);
}

TEST(Schedule, CurvesThatMakeNoSenseAreRefused) {
  Curve falls = kLearningRate;
  falls.pieces[2].until = 9 * kT;
  EXPECT_EQ(check_curve(falls, "learning_rate").error().message,
            "learning_rate: piece 3 ends at 9000000000000 tokens, which is not after "
            "10000000000000; ends must rise");
  Curve mixed = kLearningRate;
  mixed.pieces.erase(mixed.pieces.begin() + 1);
  EXPECT_NE(check_curve(mixed, "learning_rate").error().message.find("constant piece between"),
            std::string::npos);
  EXPECT_FALSE(check_curve(Curve::constant(NAN), "lambda").ok());
}

}  // namespace
}  // namespace fathom
