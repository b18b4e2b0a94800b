// fathom tokenizer train: byte-level BPE of any text, saved as the published tokenizers are.
#include <memory>
#include <optional>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/files.h"
#include "tokenizer/bpe_trainer.h"
#include "train/documents.h"

namespace fathom::cli {
namespace {

constexpr int64_t kVocabMax = int64_t{1} << 22;

struct TokenizerOptions {
  CommonOptions common;
  std::string action;
  std::vector<std::string> files;
  std::string output;
  int64_t vocab_size = 0;
  int64_t model_max_length = 4096;
  bool force = false;
};

// What people say in a conversation.
void add_messages(const Json& chat, BpeTrainer& trainer) {
  for (const Json& message : chat.find("messages")->as_array()) {
    const Json* content = message.find("content");
    if (content != nullptr && content->is_string()) trainer.add(content->as_string());
  }
}

Status count_words(const std::vector<std::string>& files, BpeTrainer& trainer) {
  FATHOM_TRY(DocumentReader reader, DocumentReader::open(files, interrupt_fd()));
  Progress progress("counting", reader.packed_bytes(), "bytes");
  const InterruptScope scope(/*also_term=*/true);
  while (true) {
    FATHOM_TRY(const std::optional<Document> document, reader.next());
    if (!document) return {};
    if (document->chat) {
      add_messages(*document->chat, trainer);
    } else {
      trainer.add(document->text);
    }
    if (interrupted()) return interrupted_error();
    progress.update(reader.packed_bytes_read());
  }
}

Status run_tokenizer(const TokenizerOptions& options) {
  const std::string tokenizer = join_path(options.output, "tokenizer.json");
  const std::string config = join_path(options.output, "tokenizer_config.json");
  for (const std::string& path : {tokenizer, config}) {
    if (path_exists(path) && !options.force)
      return invalid_error(path, " exists; give another --output, or --force to replace it");
  }
  FATHOM_TRY(BpeTrainer trainer, BpeTrainer::create({.vocab_size = options.vocab_size}));
  FATHOM_RETURN_IF_ERROR(count_words(options.files, trainer));
  if (trainer.n_words() == 0) return invalid_error("the files hold no text");
  if (trainer.n_forgotten() > 0)
    print_note(str_cat("the text has more different words than are held at once; ",
                       trainer.n_forgotten(), " rare ones were not counted"));
  const TrainedTokenizer trained = trainer.train(options.model_max_length);
  FATHOM_RETURN_IF_ERROR(make_directories(options.output));
  FATHOM_RETURN_IF_ERROR(write_file(tokenizer, trained.tokenizer_json, options.force));
  FATHOM_RETURN_IF_ERROR(write_file(config, trained.tokenizer_config_json, options.force));
  if (trained.vocab_size < options.vocab_size)
    print_note(str_cat("the text has no more pairs to merge: the vocabulary is ",
                       trained.vocab_size, ", not ", options.vocab_size));
  return standard_output().write(str_cat(options.output, ": ", trained.vocab_size, " tokens, ",
                                         trained.n_merges, " merges of ", trainer.n_words(),
                                         " different words in ", trainer.n_bytes(), " bytes\n"));
}

}  // namespace

void add_tokenizer(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TokenizerOptions>();
  app.add_option("ACTION", options->action, "train: byte-level BPE with V3's pre-tokenizer")
      ->required()
      ->check(CLI::Validator(
          [](const std::string& action) {
            return action == "train"
                       ? std::string()
                       : str_cat("there is no action '", action, "'; write fathom tokenizer train");
          },
          ""));
  app.add_option("FILES", options->files,
                 "Plain text, or JSON Lines (.jsonl) with \"text\" or \"messages\"; also .xz .zst "
                 ".gz; none or -: standard input, JSON Lines if it begins with {, else text")
      ->default_str("-");
  app.add_option("--vocab-size", options->vocab_size,
                 "Tokens in all, 20 special ones and 256 bytes included")
      ->type_name("N")
      ->transform(whole_number(static_cast<uint64_t>(BpeTrainer::vocab_size_min() + 1), kVocabMax))
      ->required()
      ->group("Tokenizer");
  app.add_option("--output", options->output,
                 "The folder for tokenizer.json and tokenizer_config.json")
      ->required()
      ->group("Tokenizer");
  app.add_option("--model-max-length", options->model_max_length,
                 "What tokenizer_config.json says of the context")
      ->type_name("N")
      ->transform(whole_number(1, 1'000'000'000))
      ->capture_default_str()
      ->group("Tokenizer");
  app.add_flag("--force", options->force, "Replace a tokenizer that is there")->group("Tokenizer");
  add_common_options(app, options->common, 0);
  set_example(app, "fathom tokenizer train stories.jsonl.xz --vocab-size 4096 --output tokenizer");
  invocation.run = [options] { return run_tokenizer(*options); };
}

}  // namespace fathom::cli
