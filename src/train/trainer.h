// The training loop: batches from the data's curriculum, micro-batches forward and back, clipping,
// AdamW, the router biases; checkpoints, validation and samples when their time comes. What the
// loop does to the model is a function of configuration, data and seed alone; it can be stopped
// after any step, and goes on from its checkpoint as if it had not been.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/event_file.h"
#include "train/optimizer.h"
#include "train/run_config.h"
#include "train/run_folder.h"
#include "train/run_state.h"
#include "train/trainee.h"

namespace fathom {

// What a step did.
struct StepReport {
  int64_t step = 0;
  int64_t tokens = 0;  // predicted so far, this step's included
  int64_t step_tokens = 0;
  int64_t sequences = 0;
  double loss = 0;  // main + mtp_lambda * mtp + balance, before the update
  double loss_main = 0, loss_mtp = 0, loss_balance = 0;
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  double seconds = 0;
  std::vector<std::vector<int64_t>> loads;  // [layer][expert]
  bool spike = false;
  bool skipped = false;  // the gradients were not finite: nothing was updated
};

struct Evaluation {
  double loss = 0;  // nats a predicted token
  std::optional<double> bits_per_byte;
};

// What the loop asks of the program around it.
struct TrainerHooks {
  // Sequence `index` of a stage: tokens [sequence_length + 1], mask [sequence_length].
  std::function<Status(int64_t stage, int64_t index, std::span<int32_t> tokens,
                       std::span<uint8_t> mask)>
      sequence;
  RunInputs inputs;  // a checkpoint of others is not continued
  // Writes the weights in the published format into a checkpoint's folder.
  std::function<Status(const std::string& folder)> save_weights;
  std::function<Result<Evaluation>()> evaluate;              // may be empty
  std::function<Result<std::vector<std::string>>()> sample;  // one text a prompt; may be empty
  std::function<void(const StepReport&)> report;             // after each step; may be empty
  std::function<void(const std::string& note)> note;         // for a person; may be empty
  std::function<double()> wall_time;                         // seconds since 1970
  std::function<bool()> stop;                                // asked after each step
};

class Trainer {
 public:
  // With resume the run goes on from its latest checkpoint (an error if there is none); without, a
  // folder that holds one is refused. All references outlive the trainer.
  static Result<std::unique_ptr<Trainer>> create(const RunConfig& config, Compute compute,
                                                 Trainee& model, TrainerHooks hooks, bool resume);

  // Steps until the run's end. A stop writes a checkpoint and returns kInterrupted.
  Status run();
  const RunState& state() const { return state_; }

 private:
  Trainer(const RunConfig& config, Compute compute, Trainee& model, TrainerHooks hooks,
          RunFolder folder);
  bool finished() const;
  Status load_checkpoint();
  void enter_stage();
  Result<StepReport> take_step();
  Status load_batch(int64_t n_sequences);
  Result<LossSums> accumulate(int64_t n_sequences, const RunPosition& position);
  Result<bool> handle_spike(const StepReport& report);
  Status after_step(const StepReport& report);
  Status write_logs(const StepReport& report);
  Status checkpoint();
  Status remove_old();
  Error nothing_learned() const;
  Status show(int64_t step);
  void note(const std::string& text) const;

  const RunConfig& config_;
  Compute compute_;
  Trainee& model_;
  TrainerHooks hooks_;
  RunFolder folder_;
  Optimizer optimizer_;
  GradientTree tree_;
  SpikeDetector spikes_;
  RunState state_;
  std::optional<RunLog> log_;
  std::optional<EventFile> events_;
  // Of the step at hand.
  std::vector<int32_t> tokens_;     // [n_sequences, sequence_length + 1]
  std::vector<uint8_t> mask_;       // [n_sequences, sequence_length]
  std::vector<int64_t> n_targets_;  // of the next token, then of each MTP module
};

}  // namespace fathom
