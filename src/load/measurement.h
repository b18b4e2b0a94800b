// A whole measurement: one or several servers, made ready, warmed up, and measured in rounds that
// take turns, so that what drifts (heat, other programs) meets them all alike.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "load/http_stream.h"
#include "load/load_run.h"
#include "load/prompts.h"

namespace fathom {

// What is asked for.
struct LoadSetup {
  LoadEndpoint endpoint = LoadEndpoint::kChat;
  std::optional<int64_t> n_requests;  // to each server; one of the two is given
  std::optional<double> duration_s;
  int64_t concurrency = 1;
  double rate = 0;  // requests a second; 0: closed loop
  int64_t n_rounds = 1;
  int64_t n_warmup = 0;
  double timeout_s = 300;
  std::string prompts_file;  // for reports; empty: prompts are made of words
  PromptShape shape;
  double temperature = 0;
  bool ignore_eos = false;
  bool check = false;  // prompts come again, and answers to equal ones are compared
};

// The prompt of a request. With check there are n_prompts, which come again forwards and backwards
// in turn: each stands between others than before. n_prompts 0: as many as requests.
int64_t prompt_of_request(int64_t request, int64_t n_prompts, bool check);

struct MeasuredServer {
  LoadServer server;
  TokensPerWord tokens;
  LoadLog log;
};

class Measurement {
 public:
  // Asked ten times a second with the requests that have ended so far; false stops everything.
  using GoOn = std::function<bool(int64_t n_done)>;

  // prompts: empty, or what prompt_of_line() gave.
  Measurement(const LoadSetup& setup, std::vector<LoadServer> servers, std::vector<Json> prompts,
              const HttpClientOptions& http, GoOn go_on);

  // Names of models, tokens of words, warm-up. An error without a message if go_on said false.
  Status prepare();
  void measure();
  // An error if all requests to a server failed, or answers to equal prompts differ.
  Status verdict() const;

  const LoadSetup& setup() const { return setup_; }
  const std::vector<MeasuredServer>& servers() const { return servers_; }

 private:
  AskOptions ask_of(const MeasuredServer& one) const {
    return {setup_.endpoint, one.server.model, setup_.temperature, setup_.ignore_eos};
  }
  bool goes_on();
  LoadRound round_of(const MeasuredServer& one, const PromptShape& shape);
  Status prepare_one(MeasuredServer& one);
  Status warm_up(MeasuredServer& one);
  void run_one(MeasuredServer& one, int64_t number);

  LoadSetup setup_;
  std::vector<MeasuredServer> servers_;
  std::vector<Json> prompts_;
  int64_t n_prompts_ = 0;
  GoOn go_on_;
  bool stopped_ = false;
  HttpClient client_;
};

}  // namespace fathom
