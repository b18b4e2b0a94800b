#include "train/data_loader.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/mix64.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

constexpr int64_t kBlock = 1024;
constexpr int kRounds = 4;

// A permutation of [0, n) drawn from the key: a Feistel network over the next power of four, walked
// until it is back in range.
int64_t permute(uint64_t key, int64_t n, int64_t i) {
  int half = 1;
  while ((int64_t{1} << (2 * half)) < n) ++half;
  const uint64_t low = (uint64_t{1} << half) - 1;
  auto at = static_cast<uint64_t>(i);
  do {
    uint64_t left = at >> half, right = at & low;
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t mixed = mix64(mix64(key + static_cast<uint64_t>(round)) ^ right);
      const uint64_t next = left ^ (mixed & low);
      left = right;
      right = next;
    }
    at = left << half | right;
  } while (at >= static_cast<uint64_t>(n));
  return static_cast<int64_t>(at);
}

uint64_t key_of(uint64_t seed, uint64_t a, uint64_t b) { return mix64(mix64(mix64(seed) ^ a) ^ b); }

// Slots of a block for each source: its share, at least one; largest remainders get what is left.
std::vector<int64_t> share_slots(const std::vector<DataSource>& sources) {
  double total = 0;
  for (const DataSource& source : sources) total += source.weight;
  std::vector<int64_t> slots;
  std::vector<std::pair<double, size_t>> rests;
  int64_t used = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    const double exact = static_cast<double>(kBlock) * sources[i].weight / total;
    slots.push_back(std::max<int64_t>(1, static_cast<int64_t>(exact)));
    used += slots.back();
    rests.emplace_back(static_cast<double>(slots.back()) - exact, i);
  }
  std::sort(rests.begin(), rests.end());
  for (size_t i = 0; used < kBlock; ++i, ++used) ++slots[rests[i % rests.size()].second];
  for (; used > kBlock; --used) --*std::max_element(slots.begin(), slots.end());
  return slots;
}

Status check_same(const Shards& shards, const Shards& first) {
  if (shards.index().vocab_size != first.index().vocab_size ||
      shards.index().tokenizer_digest != first.index().tokenizer_digest)
    return invalid_error(shards.folder(), " and ", first.folder(),
                         " were made with different tokenizers; make both with one");
  return {};
}

// Of what the index says: Shards::open has compared the files with it.
uint64_t digest_of(const ShardIndex& index) {
  Xxh64 sum;
  const auto add = [&sum](uint64_t x) { sum.update(std::as_bytes(std::span(&x, 1))); };
  add(static_cast<uint64_t>(index.vocab_size));
  add(index.tokenizer_digest);
  add(index.has_mask ? 1 : 0);
  for (const ShardFile& file : index.train.files) {
    add(static_cast<uint64_t>(file.tokens));
    add(file.checksum);
    add(file.mask_checksum);
  }
  return sum.digest();
}

}  // namespace

Result<DataLoader> DataLoader::open(const std::vector<DataSource>& sources,
                                    const DataLoaderOptions& options) {
  if (sources.empty()) return invalid_error("there is no source of data");
  if (std::ssize(sources) > kBlock)
    return exhausted_error(sources.size(), " sources of data; at most ", kBlock, " can be mixed");
  DataLoader out;
  out.options_ = options;
  const std::vector<int64_t> slots = share_slots(sources);
  int64_t first_slot = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    FATHOM_TRY(Shards shards, Shards::open(sources[i].path, options.split));
    Source source{.shards = std::move(shards), .first_slot = first_slot, .n_slots = slots[i]};
    first_slot += slots[i];
    source.n_sequences =
        std::max<int64_t>(0, source.shards.n_tokens() - 1) / options.sequence_length;
    if (!out.sources_.empty())
      FATHOM_RETURN_IF_ERROR(check_same(source.shards, out.sources_.front().shards));
    if (options.split == Split::kTrain && source.n_sequences == 0)
      return invalid_error(sources[i].path, " holds ", source.shards.n_tokens(),
                           " tokens to train on, less than one sequence of ",
                           options.sequence_length + 1);
    out.sources_.push_back(std::move(source));
  }
  if (out.n_sequences() == 0)
    return invalid_error(
        "nothing is held out in ", sources.front().path,
        sources.size() > 1 ? " and the other sources" : "",
        "; make the shards with --validation-fraction, or leave out the evaluation");
  return out;
}

std::vector<SourceIdentity> DataLoader::identities() const {
  std::vector<SourceIdentity> out;
  for (const Source& source : sources_)
    out.push_back({source.shards.folder(), digest_of(source.shards.index())});
  return out;
}

int64_t DataLoader::n_tokens() const {
  return std::accumulate(sources_.begin(), sources_.end(), int64_t{0},
                         [](int64_t n, const Source& s) { return n + s.shards.n_tokens(); });
}

int64_t DataLoader::n_sequences() const {
  return std::accumulate(sources_.begin(), sources_.end(), int64_t{0},
                         [](int64_t n, const Source& s) { return n + s.n_sequences; });
}

Status DataLoader::read(const Source& source, int64_t sequence, std::span<int32_t> tokens,
                        std::span<uint8_t> mask) const {
  const int64_t length = options_.sequence_length;
  FATHOM_CHECK(std::ssize(tokens) == length + 1 && std::ssize(mask) == length, tokens.size(),
               " tokens of a sequence of ", length);
  std::vector<uint8_t> counts(tokens.size());
  FATHOM_RETURN_IF_ERROR(source.shards.read(sequence * length, tokens, counts));
  // A target counts as its own token says.
  std::copy(counts.begin() + 1, counts.end(), mask.begin());
  return {};
}

Status DataLoader::sequence(int64_t index, std::span<int32_t> tokens,
                            std::span<uint8_t> mask) const {
  FATHOM_CHECK(index >= 0, "index ", index);
  if (options_.split == Split::kValidation) {
    int64_t at = permute(key_of(options_.seed, 0, 1), n_sequences(), index % n_sequences());
    auto source = sources_.begin();
    for (; at >= source->n_sequences; ++source) at -= source->n_sequences;
    return read(*source, at, tokens, mask);
  }
  const int64_t block = index / kBlock;
  const int64_t slot =
      permute(key_of(options_.seed, static_cast<uint64_t>(block), 2), kBlock, index % kBlock);
  const auto after =
      std::upper_bound(sources_.begin(), sources_.end(), slot,
                       [](int64_t s, const Source& source) { return s < source.first_slot; });
  const Source& source = *(after - 1);
  const int64_t nth = block * source.n_slots + slot - source.first_slot;
  const auto number = static_cast<uint64_t>(&source - sources_.data());
  const auto epoch = static_cast<uint64_t>(nth / source.n_sequences);
  return read(source,
              permute(key_of(options_.seed, number, 3 + epoch), source.n_sequences,
                      nth % source.n_sequences),
              tokens, mask);
}

}  // namespace fathom
