// Counters of what was asked, and the page that Prometheus reads.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "server/engine_thread.h"

namespace fathom {

class Metrics {
 public:
  // Of an answer that begins; path is a route's, never a client's text.
  void count(const std::string& path, int status);
  // text/plain; version=0.0.4
  std::string page(const EngineThread::Statistics& engine, int64_t n_connections) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> requests_;
};

}  // namespace fathom
