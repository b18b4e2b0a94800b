// Whether drafts pay: with one draft a step gives 1 + a tokens where a is the share of accepted
// drafts, and costs a pass over twice the rows and a pass of the MTP module. All three times and a
// are measured while the engine runs, for each size of batch, and drafting stops where a step
// without it gives more (spec §2.8). What is decided here changes speed alone, never a byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fathom {

class SpeculationMeter {
 public:
  // What a step over n_answers should do.
  enum class Step : uint8_t {
    kDraft,  // verify the drafts that are there, make new ones
    kProbe,  // verify none, so that its time is known, but make new ones
    kPlain,  // neither
  };
  // Counts the steps that it is asked for. n_answers >= 1.
  Step next(int64_t n_answers);

  // Of a step of answers alone, each with a draft (kDraft) or none (kProbe): seconds of its pass,
  // and of the module's.
  void record(Step step, int64_t n_answers, double pass_seconds, double draft_seconds);
  void record_drafts(int64_t n_drafted, int64_t n_accepted);

  // Tokens a second with drafts over without, at this size of batch; 0: not known yet.
  double gain(int64_t n_answers) const;
  double acceptance() const { return acceptance_; }

 private:
  // Means that follow changes: the newest value has the weight kNewest, the first all of it.
  struct Mean {
    double value = 0;
    int64_t n = 0;
    void add(double x);
  };
  struct Size {
    Mean plain, with_drafts, module;
    int64_t steps = 0;
    int64_t plain_left = 0;  // steps until drafting is tried again
  };
  static size_t index(int64_t n_answers);

  std::array<Size, 16> sizes_;  // by the logarithm of the batch
  double acceptance_ = 0.5;
  int64_t n_drafted_ = 0;
};

}  // namespace fathom
