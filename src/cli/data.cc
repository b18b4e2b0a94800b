// fathom data: text and conversations to token shards for training (docs/data.md).
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/model_files.h"
#include "parallel/pool.h"
#include "tokenizer/load_tokenizer.h"
#include "train/document_tokens.h"

namespace fathom::cli {
namespace {

// Documents tokenised at a time.
constexpr int64_t kBatchBytes = int64_t{8} << 20;
constexpr size_t kBatchDocuments = 4096;

struct DataOptions {
  CommonOptions common;
  std::vector<std::string> files;
  std::string tokenizer;
  std::string output;
  DocumentOptions documents;
  bool keep_duplicates = false;
  bool force = false;
  bool json = false;
};

class DataRun {
 public:
  DataRun(const DataOptions& options, const ModelFiles& files, const Tokenizer& tokenizer)
      : options_(options),
        pool_(options.common.n_threads()),
        files_(files),
        tokenizer_(tokenizer) {}

  Status run() {
    for (int i = 0; i < pool_.n_threads(); ++i) {
      FATHOM_TRY(DocumentTokenizer made,
                 DocumentTokenizer::create(files_, tokenizer_, options_.documents));
      tokenizers_.push_back(std::move(made));
    }
    FATHOM_TRY(DocumentReader reader, DocumentReader::open(options_.files, interrupt_fd()));
    ShardIndex header;
    header.vocab_size = tokenizer_.vocab_size();
    header.tokenizer_digest = tokenizer_digest(tokenizer_);
    header.has_mask = options_.documents.loss_on_answers;
    FATHOM_TRY(ShardWriter writer, ShardWriter::create(options_.output, header, options_.force));
    Progress progress("tokenizing", reader.packed_bytes(), "bytes");
    const InterruptScope scope(/*also_term=*/true);
    std::vector<Document> batch;
    while (true) {
      FATHOM_TRY(const bool more, fill(reader, batch));
      FATHOM_RETURN_IF_ERROR(add(batch, writer));
      if (interrupted()) return interrupted_error();
      progress.update(reader.packed_bytes_read());
      if (!more) break;
    }
    progress.hide();
    if (n_documents_ == 0) return invalid_error("the files hold no text");
    FATHOM_TRY(index_, writer.finish());
    return report();
  }

 private:
  // False at the end of the files.
  static Result<bool> fill(DocumentReader& reader, std::vector<Document>& batch) {
    batch.clear();
    int64_t bytes = 0;
    while (bytes < kBatchBytes && batch.size() < kBatchDocuments) {
      FATHOM_TRY(std::optional<Document> document, reader.next());
      if (!document) return false;
      bytes += document->input_bytes + 1024;
      batch.push_back(std::move(*document));
    }
    return true;
  }

  Status add(const std::vector<Document>& batch, ShardWriter& writer) {
    std::vector<std::optional<Result<TokenizedDocument>>> done(batch.size());
    pool_.parallel_for(std::ssize(batch), [&](int64_t i, int thread) {
      const auto at = static_cast<size_t>(i);
      done[at].emplace(tokenizers_[static_cast<size_t>(thread)](batch[at]));
    });
    for (const auto& result : done) {
      if (!result->ok()) return result->error();
      const TokenizedDocument& document = **result;
      if (!options_.keep_duplicates && !seen_.insert(document.hash).second) {
        ++n_duplicates_;
        continue;
      }
      ++n_documents_;
      FATHOM_RETURN_IF_ERROR(
          writer.add(document.split, document.ids, document.mask, document.text_bytes));
    }
    return {};
  }

  Status report() const {
    if (options_.json) {
      const auto split = [](const ShardSplit& s) {
        return Json(Json::Object{
            {"documents", s.documents}, {"tokens", s.tokens}, {"text_bytes", s.text_bytes}});
      };
      const Json out = Json::Object{{"output", options_.output},
                                    {"vocab_size", index_.vocab_size},
                                    {"duplicates", n_duplicates_},
                                    {"train", split(index_.train)},
                                    {"validation", split(index_.validation)}};
      return standard_output().write(out.dump_pretty() + "\n");
    }
    const int64_t tokens = index_.train.tokens + index_.validation.tokens;
    const int64_t bytes = index_.train.text_bytes + index_.validation.text_bytes;
    const int64_t hundredths = tokens == 0 ? 0 : bytes * 100 / tokens;
    const std::string fraction = str_cat(hundredths % 100 < 10 ? "0" : "", hundredths % 100);
    return standard_output().write(str_cat(options_.output, ": ", n_documents_, " documents (",
                                           n_duplicates_, " duplicates left out), ", tokens,
                                           " tokens of ", hundredths / 100, ".", fraction,
                                           " bytes; ", index_.validation.documents, " documents, ",
                                           index_.validation.tokens, " tokens held out\n"));
  }

  const DataOptions& options_;
  Pool pool_;
  const ModelFiles& files_;
  const Tokenizer& tokenizer_;
  std::vector<DocumentTokenizer> tokenizers_;  // of each thread
  std::unordered_set<uint64_t> seen_;
  int64_t n_documents_ = 0, n_duplicates_ = 0;
  ShardIndex index_;
};

Status run_data(const DataOptions& options) {
  FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(options.tokenizer));
  FATHOM_TRY(const Tokenizer tokenizer, load_tokenizer(files));
  return DataRun(options, files, tokenizer).run();
}

}  // namespace

void add_data(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<DataOptions>();
  app.add_option("FILES", options->files,
                 "Plain text, or JSON Lines (.jsonl) with \"text\" or \"messages\"; also .xz .zst "
                 ".gz; none or -: standard input, JSON Lines if it begins with {, else text")
      ->default_str("-");
  app.add_option("--tokenizer", options->tokenizer, "A folder with tokenizer.json")
      ->required()
      ->group("Input and output");
  app.add_option("--output", options->output, "The folder of shards to make")
      ->required()
      ->group("Input and output");
  app.add_flag("--force", options->force, "Replace shards that are there")
      ->group("Input and output");
  app.add_flag("--json", options->json, "The summary as JSON")->group("Input and output");
  app.add_option("--validation-fraction", options->documents.validation_fraction,
                 "Share of the documents held out, chosen by their content")
      ->check(number_range(0, 0.5))
      ->capture_default_str()
      ->group("Documents");
  app.add_flag("--keep-duplicates", options->keep_duplicates, "Keep documents that came before")
      ->group("Documents");
  app.add_option("--fim-rate", options->documents.fim_rate,
                 "Share of the texts as prefix, suffix, middle (PSM)")
      ->check(number_range(0, 1))
      ->capture_default_str()
      ->group("Documents");
  app.add_flag("--loss-on-answers", options->documents.loss_on_answers,
               "Of conversations only what the assistant says counts as a target")
      ->group("Documents");
  add_common_options(app, options->common, kThreadsOption);
  set_example(app,
              "fathom data stories.jsonl.xz --tokenizer tokenizer --output shards "
              "--validation-fraction 0.01");
  invocation.run = [options] { return run_data(*options); };
}

}  // namespace fathom::cli
