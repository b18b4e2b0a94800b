#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "base/seconds_since.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

constexpr int64_t kBatchTokensMax = int64_t{1} << 32;
constexpr int64_t kSkippedMax = 20;  // steps in a row that update nothing: no more is to come

bool is_due(int64_t every, int64_t step) { return every > 0 && step % every == 0; }

Json loads_json(const std::vector<std::vector<int64_t>>& loads) {
  Json out = Json::array();
  for (const auto& layer : loads) {
    Json row = Json::array();
    for (const int64_t load : layer) row.push_back(load);
    out.push_back(std::move(row));
  }
  return out;
}

double worst_violation(const std::vector<std::vector<int64_t>>& loads) {
  double worst = 0;
  for (const auto& layer : loads) worst = std::max(worst, max_violation(layer));
  return worst;
}

}  // namespace

Trainer::Trainer(const RunConfig& config, Compute compute, Trainee& model, TrainerHooks hooks,
                 RunFolder folder)
    : config_(config),
      compute_(compute),
      model_(model),
      hooks_(std::move(hooks)),
      folder_(std::move(folder)),
      optimizer_(config.optimizer, static_cast<int64_t>(model.values().size())),
      spikes_(config.spikes.factor, config.spikes.warmup_steps) {
  state_.digest = config.digest;
  state_.inputs = hooks_.inputs;
}

Result<std::unique_ptr<Trainer>> Trainer::create(const RunConfig& config, Compute compute,
                                                 Trainee& model, TrainerHooks hooks, bool resume) {
  FATHOM_TRY(RunFolder folder, RunFolder::open(config.output));
  FATHOM_TRY(const std::vector<int64_t> checkpoints, folder.checkpoints());
  if (!resume && !checkpoints.empty()) {
    return invalid_error(config.output, " holds a run already; go on with --resume ", config.output,
                         ", or give another output");
  }
  std::unique_ptr<Trainer> trainer(
      new Trainer(config, compute, model, std::move(hooks), std::move(folder)));
  if (resume) {
    FATHOM_RETURN_IF_ERROR(trainer->load_checkpoint());
  } else {
    FATHOM_RETURN_IF_ERROR(write_file(trainer->folder_.file("run.toml"), write_run_config(config),
                                      /*force=*/true));
    model.weights_changed();
  }
  const int64_t step = trainer->state_.step;
  const int64_t n_rollbacks = trainer->state_.spikes.n_rollbacks;
  FATHOM_TRY(trainer->log_, RunLog::open(trainer->folder_.file("log.jsonl"), step, n_rollbacks));
  FATHOM_TRY(trainer->events_,
             EventFile::create(config.output, trainer->hooks_.wall_time(), step + 1));
  return trainer;
}

// The latest.
Status Trainer::load_checkpoint() {
  FATHOM_TRY(const std::vector<int64_t> steps, folder_.checkpoints());
  if (steps.empty())
    return invalid_error(config_.output, " has no complete checkpoint to resume from");
  StateToLoad from = {.folder = folder_.checkpoint(steps.back()),
                      .if_damaged = "; there is no checkpoint before it: begin the run again",
                      .digest = config_.digest,
                      .inputs = hooks_.inputs};
  if (steps.size() > 1) {
    from.if_damaged = str_cat("; to go on from step ", steps[steps.size() - 2], ", remove ",
                              from.folder, " and resume again");
  }
  FATHOM_TRY(state_, load_run_state(from, model_, optimizer_));
  model_.weights_changed();
  if (!state_.isa.empty() && state_.isa != isa_name(compute_.isa)) {
    note(str_cat("the steps before were computed with ", state_.isa, ", these are with ",
                 isa_name(compute_.isa), ": the bytes will not be those of either alone"));
  }
  return {};
}

void Trainer::note(const std::string& text) const {
  if (hooks_.note) hooks_.note(text);
}

bool Trainer::finished() const {
  return (config_.steps > 0 && state_.step >= config_.steps) ||
         (config_.tokens > 0 && state_.tokens >= config_.tokens);
}

void Trainer::enter_stage() {
  const auto over = [this] {
    const DataStage& stage = config_.stages[static_cast<size_t>(state_.stage)];
    const bool by_steps = stage.unit == CurveUnit::kSteps;
    return stage.until > 0 && (by_steps ? state_.step : state_.tokens) >= stage.until;
  };
  while (state_.stage + 1 < static_cast<int64_t>(config_.stages.size()) && over()) {
    ++state_.stage;
    state_.stage_sequences = 0;
    state_.spikes.forget_level();
  }
}

Status Trainer::load_batch(int64_t n_sequences) {
  const int64_t t = config_.sequence_length;
  if (n_sequences > kBatchTokensMax / (t + 1)) {
    return exhausted_error("a batch of ", n_sequences, " sequences of ", t,
                           " tokens is more than this program holds at once");
  }
  tokens_.resize(static_cast<size_t>(n_sequences * (t + 1)));
  mask_.resize(static_cast<size_t>(n_sequences * t));
  n_targets_.assign(static_cast<size_t>(model_.n_mtp_modules()) + 1, 0);
  for (int64_t i = 0; i < n_sequences; ++i) {
    const auto tokens =
        std::span(tokens_).subspan(static_cast<size_t>(i * (t + 1)), static_cast<size_t>(t + 1));
    const auto mask = std::span(mask_).subspan(static_cast<size_t>(i * t), static_cast<size_t>(t));
    FATHOM_RETURN_IF_ERROR(hooks_.sequence(state_.stage, state_.stage_sequences + i, tokens, mask));
    for (size_t k = 0; k < n_targets_.size() && k < mask.size(); ++k)
      n_targets_[k] +=
          std::ranges::count(mask.subspan(k), uint8_t{1});  // module k: from target k on
  }
  return {};
}

Result<LossSums> Trainer::accumulate(int64_t n_sequences, const RunPosition& position) {
  const int64_t t = config_.sequence_length;
  const int64_t n_micro = n_sequences / config_.micro_batch;
  const double per_balance =
      static_cast<double>(config_.balance.batch_wise ? n_micro : n_sequences);
  std::vector<double> scales;
  for (const int64_t n : n_targets_)
    scales.push_back(1.0 / static_cast<double>(std::max<int64_t>(1, n)));
  const LossWeights weights = {.main_scale = scales[0],
                               .mtp_scales = {scales.begin() + 1, scales.end()},
                               .mtp_lambda = curve_value(config_.mtp_lambda, position),
                               .balance_alpha = config_.balance.sequence_alpha,
                               .balance_scale = 1.0 / per_balance,
                               .batch_wise = config_.balance.batch_wise,
                               .gradient_scale = gradient_scale_of(n_targets_[0])};
  LossSums sums;
  for (int64_t micro = 0; micro < n_micro; ++micro) {
    GradientTree::clear(compute_, model_.gradients());
    const int64_t first = micro * config_.micro_batch;
    const auto tokens = std::span(tokens_).subspan(
        static_cast<size_t>(first * (t + 1)), static_cast<size_t>(config_.micro_batch * (t + 1)));
    const auto mask = std::span(mask_).subspan(static_cast<size_t>(first * t),
                                               static_cast<size_t>(config_.micro_batch * t));
    FATHOM_TRY(const LossSums losses,
               model_.forward_backward(tokens, mask, config_.micro_batch, weights));
    sums.add(losses);
    if (micro + 1 < n_micro) tree_.push(compute_, model_.gradients());
  }
  tree_.finish(compute_, model_.gradients());
  return sums;
}

Result<StepReport> Trainer::take_step() {
  const auto start = std::chrono::steady_clock::now();
  enter_stage();
  const RunPosition position = {.step = state_.step + 1, .tokens = state_.tokens};
  StepReport report;
  report.sequences = batch_sequences(config_.batch, position, config_.micro_batch);
  FATHOM_RETURN_IF_ERROR(load_batch(report.sequences));
  FATHOM_TRY(LossSums sums, accumulate(report.sequences, position));
  report.loss_main = sums.main;
  report.loss_mtp = sums.mtp;
  report.loss_balance = sums.balance;
  report.loss = sums.main + curve_value(config_.mtp_lambda, position) * sums.mtp + sums.balance;
  const double scale = gradient_scale_of(n_targets_[0]);
  report.gradient_norm = Optimizer::gradient_norm(compute_, model_) / scale;
  report.learning_rate = curve_value(config_.learning_rate, position);
  report.skipped = !std::isfinite(report.gradient_norm) || !std::isfinite(report.loss);
  if (!report.skipped) {
    optimizer_.step(compute_, model_,
                    {.learning_rate = report.learning_rate,
                     .gradient_scale = scale,
                     .norm = report.gradient_norm,
                     .step = position.step});
    const double speed = curve_value(config_.balance.bias_speed, position);
    const auto biases = model_.router_biases();
    FATHOM_CHECK(biases.empty() || biases.size() == sums.loads.size(), "layers of biases");
    for (size_t layer = 0; layer < biases.size(); ++layer)
      update_router_bias(biases[layer], sums.loads[layer], speed);
    model_.weights_changed();
  }
  state_.n_skipped = report.skipped ? state_.n_skipped + 1 : 0;
  report.loads = std::move(sums.loads);
  report.step_tokens = report.sequences * config_.sequence_length;
  report.spike = spikes_.observe(report.loss, state_.spikes);
  state_.step = report.step = position.step;
  state_.tokens += report.step_tokens;
  state_.stage_sequences += report.sequences;
  report.tokens = state_.tokens;
  report.seconds = seconds_since(start);
  return report;
}

// Whether the run went back: then the step counts as not done.
Result<bool> Trainer::handle_spike(const StepReport& report) {
  if (!report.spike && !report.skipped) return false;
  note(str_cat("step ", report.step, ", loss ", report.loss, ": ",
               report.skipped ? "the gradients are not finite, nothing was updated"
                              : "a spike, far above the losses before"));
  if (!config_.spikes.rollback || state_.spikes.n_rollbacks >= config_.spikes.rollbacks_max)
    return false;
  FATHOM_TRY(const std::vector<int64_t> checkpoints, folder_.checkpoints());
  if (checkpoints.empty()) {
    note("there is no checkpoint yet to go back to");
    return false;
  }
  const RunState now = state_;
  FATHOM_RETURN_IF_ERROR(load_checkpoint());
  // The batches since the checkpoint are passed over, in the stage where they were taken.
  if (state_.stage != now.stage) state_.spikes.forget_level();
  state_.stage = now.stage;
  state_.stage_sequences = now.stage_sequences;
  state_.spikes.n_in_row = now.spikes.n_in_row;
  state_.spikes.n_rollbacks = now.spikes.n_rollbacks + 1;
  note(str_cat("back to step ", state_.step, "; the batches since then are skipped"));
  FATHOM_TRY(log_, RunLog::open(folder_.file("log.jsonl"), state_.step, now.spikes.n_rollbacks));
  FATHOM_TRY(events_, EventFile::create(config_.output, hooks_.wall_time(), state_.step + 1));
  Json line = Json::Object{{"step", state_.step},
                           {"rollback", state_.spikes.n_rollbacks},
                           {"from_step", report.step},
                           {"spike_loss", report.loss}};
  if (report.skipped) line.set("skipped", true);
  FATHOM_RETURN_IF_ERROR(log_->append(line));
  return true;
}

Status Trainer::write_logs(const StepReport& report) {
  const double tokens_per_s = static_cast<double>(report.step_tokens) / report.seconds;
  const double violation = worst_violation(report.loads);
  Json line = Json::Object{{"step", report.step},
                           {"tokens", report.tokens},
                           {"sequences", report.sequences},
                           {"loss", report.loss},
                           {"loss_main", report.loss_main},
                           {"loss_mtp", report.loss_mtp},
                           {"loss_balance", report.loss_balance},
                           {"gradient_norm", report.gradient_norm},
                           {"learning_rate", report.learning_rate},
                           {"tokens_per_s", static_cast<float>(tokens_per_s)},
                           {"max_violation", static_cast<float>(violation)},
                           {"loads", loads_json(report.loads)}};
  if (report.spike) line.set("spike", true);
  if (report.skipped) line.set("skipped", true);
  if (state_.isa != isa_name(compute_.isa)) {
    state_.isa = isa_name(compute_.isa);
    line.set("isa", state_.isa);
  }
  FATHOM_RETURN_IF_ERROR(log_->append(line));
  return events_->append(hooks_.wall_time(), report.step,
                         {{"loss/total", report.loss},
                          {"loss/main", report.loss_main},
                          {"loss/mtp", report.loss_mtp},
                          {"loss/balance", report.loss_balance},
                          {"optimizer/gradient_norm", report.gradient_norm},
                          {"optimizer/learning_rate", report.learning_rate},
                          {"router/max_violation", violation},
                          {"speed/tokens_per_s", tokens_per_s},
                          {"data/tokens", static_cast<double>(report.tokens)}});
}

Status Trainer::checkpoint() {
  const auto fill = [this](const std::string& folder) -> Status {
    FATHOM_RETURN_IF_ERROR(save_run_state(folder, state_, model_, optimizer_));
    return hooks_.save_weights(folder);
  };
  const Status written = folder_.write_checkpoint(state_.step, fill);
  if (!written.ok()) return written;
  return remove_old();
}

// Not while steps are skipped: the older ones may be those to go back to.
Status Trainer::remove_old() {
  return state_.n_skipped > 0 ? Status() : folder_.remove_old(config_.keep);
}

Error Trainer::nothing_learned() const {
  const auto steps = folder_.checkpoints();
  const bool any = steps.ok() && !steps->empty();
  return invalid_error(
      config_.output, ": in ", state_.n_skipped, " steps in a row, up to step ", state_.step,
      ", loss or gradients were not finite and nothing was learned; ",
      any ? str_cat("the last checkpoint is that of step ", steps->back(), ": start a new run from")
          : "there is no checkpoint: begin again",
      any ? " it (model.init)" : "", " with a lower optimizer.learning_rate, or other data");
}

// Validation and samples of the weights as they are; whatever happens in them, the checkpoint is
// written already.
Status Trainer::show(int64_t step) {
  Json line = Json::Object{{"step", step}};
  if (hooks_.evaluate && is_due(config_.evaluate_every, step) &&
      !log_->had(step, "validation_loss")) {
    FATHOM_TRY(const Evaluation result, hooks_.evaluate());
    line.set("validation_loss", result.loss);
    Scalars scalars = {{"validation/loss", result.loss}};
    std::string text =
        str_cat("step ", step, ": validation loss ", Json(static_cast<float>(result.loss)).dump());
    if (result.bits_per_byte) {
      line.set("validation_bits_per_byte", *result.bits_per_byte);
      scalars.emplace_back("validation/bits_per_byte", *result.bits_per_byte);
      text += str_cat(", bits per byte ", Json(static_cast<float>(*result.bits_per_byte)).dump());
    }
    note(text);
    FATHOM_RETURN_IF_ERROR(events_->append(hooks_.wall_time(), step, scalars));
  }
  if (hooks_.sample && is_due(config_.sample_every, step) && !log_->had(step, "samples")) {
    FATHOM_TRY(const std::vector<std::string> samples, hooks_.sample());
    Json texts = Json::array();
    for (const std::string& sample : samples) {
      note(str_cat("step ", step, ": ", sample));
      texts.push_back(sample);
    }
    line.set("samples", std::move(texts));
  }
  return line.as_object().size() > 1 ? log_->append(line) : Status();
}

Status Trainer::after_step(const StepReport& report) {
  FATHOM_RETURN_IF_ERROR(write_logs(report));
  if (hooks_.report) hooks_.report(report);
  const bool stopped = hooks_.stop && hooks_.stop();
  if (state_.n_skipped >= kSkippedMax) return nothing_learned();
  if (stopped || finished() || (is_due(config_.checkpoint_every, report.step) && !report.skipped))
    FATHOM_RETURN_IF_ERROR(checkpoint());
  if (stopped && !finished()) return Error{ErrorCode::kInterrupted, ""};
  return show(report.step);
}

Status Trainer::run() {
  // What was due when the run was stopped after writing its checkpoint.
  if (state_.step > 0) {
    FATHOM_RETURN_IF_ERROR(remove_old());
    FATHOM_RETURN_IF_ERROR(show(state_.step));
  }
  while (!finished()) {
    FATHOM_TRY(const StepReport report, take_step());
    FATHOM_TRY(const bool went_back, handle_spike(report));
    if (!went_back) FATHOM_RETURN_IF_ERROR(after_step(report));
  }
  return {};
}

}  // namespace fathom
