// A cache of prefixes on disk: what a server has read stays read when it starts again. One
// safetensors file, readable by its owner alone, since it holds the tokens of prompts; it names the
// model and the settings that computed its rows, and is used by these only.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/kv_cache.h"
#include "engine/prefix_cache.h"

namespace fathom {

struct PrefixOrigin {
  std::string fingerprint;  // of everything that the rows' bytes depend on
  int64_t vocab_size = 0;
};

// Written beside and renamed; an empty cache writes an empty file.
Status save_prefixes(const std::string& path, const PrefixOrigin& origin, const PrefixCache& cache,
                     const KvPool& pool);

// Adds the file's blocks to the cache while the pool has room; returns how many. A file of another
// origin is an error that says so, as is a damaged one; the cache stays as it was then.
Result<int64_t> load_prefixes(const std::string& path, const PrefixOrigin& origin,
                              PrefixCache& cache, KvPool& pool);

}  // namespace fathom
