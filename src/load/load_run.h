// One round of a load against one server: sends requests when they are due, reads the streams, and
// writes down when what came.
//   closed loop (rate 0): `concurrency` requests are under way at any time; the next is due when
//   one
//     ends.
//   open loop: requests are due by a Poisson process, whether or not the server keeps up. One that
//     has to wait for a place (concurrency) still counts from when it was due.
// An answer 429 is waited out (Retry-After) and asked again, as long as the request's time allows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "load/api.h"
#include "load/http_stream.h"
#include "load/load_log.h"

namespace fathom {

inline constexpr int64_t kConcurrencyMax = 4096;
inline constexpr int64_t kRequestsMax = 10'000'000;

struct LoadServer {
  Url url;
  std::string model;
  std::string api_key;  // empty: none is sent
};

struct LoadRequest {
  int64_t prompt_id = 0;
  std::string body;
};

struct LoadRound {
  LoadEndpoint endpoint = LoadEndpoint::kChat;
  int64_t first_request = 0;  // numbers that make is asked for, so that rounds go on
  int64_t n_requests = 1;
  double duration_s = 0;  // no request is due later; 0: no limit
  int64_t concurrency = 1;
  double rate = 0;  // requests a second; 0: closed loop
  uint64_t seed = 1;
  double timeout_s = 300;  // for one request, waiting after 429 included
  std::function<LoadRequest(int64_t)> make;
  // Asked ten times a second; false ends the round, what is under way counts as stopped.
  std::function<bool()> go_on;
};

// The headers of every request to the server.
std::vector<std::pair<std::string, std::string>> request_headers(const LoadServer& server);

void run_round(HttpClient& client, const LoadServer& server, const LoadRound& round, LoadLog& log);

}  // namespace fathom
