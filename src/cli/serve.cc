// `fathom serve`: the HTTP server (docs/serving.md).
#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/version.h"
#include "io/files.h"
#include "server/server.h"

namespace fathom::cli {

namespace {

constexpr int64_t kKeyFileBytesMax = 1 << 20;
// For the last bytes of answers to arrive.
constexpr auto kLastBytes = std::chrono::seconds(5);

struct ServeCommand {
  CommonOptions common;
  std::string host = "127.0.0.1";
  int port = 8080;
  std::vector<std::string> api_keys, names, origins;
  std::string api_key_file, tls_certificate, tls_key;
  bool allow_public = false;
  bool open_page = false;
  int64_t max_running = 32;
  int64_t max_queue = 256;
  std::optional<int64_t> kv_memory;
  std::string prefix_file;
};

// One a line; blanks around it, empty lines and lines with # at their beginning do not count.
Result<std::vector<std::string>> keys_of_file(const std::string& path) {
  FATHOM_TRY(const std::string text, read_file(path, kKeyFileBytesMax));
  std::vector<std::string> keys;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    keys.push_back(line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
  }
  if (keys.empty()) return invalid_error(path, " holds no key");
  return keys;
}

Result<std::vector<std::string>> api_keys(const ServeCommand& command) {
  std::vector<std::string> keys = command.api_keys;
  if (!command.api_key_file.empty()) {
    FATHOM_TRY(const auto more, keys_of_file(command.api_key_file));
    keys.insert(keys.end(), more.begin(), more.end());
  }
  if (const char* key = std::getenv("FATHOM_API_KEY"); key != nullptr && *key != '\0')
    keys.emplace_back(key);
  if (std::any_of(keys.begin(), keys.end(), [](const auto& key) { return key.empty(); }))
    return usage_error("--api-key is empty; give a key, or none for a server without");
  return keys;
}

bool is_loopback(const std::string& host) { return host == "::1" || host.starts_with("127."); }

// The folder's name, as people call the model.
std::string name_of(const std::string& path) {
  if (path.empty()) return "fathom-default";
  std::filesystem::path clean = std::filesystem::path(path).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  return clean.filename().empty() ? "model" : clean.filename().string();
}

Result<ServerOptions> server_options(const ServeCommand& command) {
  ServerOptions options;
  options.http.host = command.host == "localhost" ? "127.0.0.1" : command.host;
  options.http.port = command.port;
  options.http.tls_certificate = command.tls_certificate;
  options.http.tls_key = command.tls_key;
  if (command.tls_certificate.empty() != command.tls_key.empty())
    return usage_error("--tls-cert and --tls-key go together");
  FATHOM_TRY(options.access.api_keys, api_keys(command));
  options.access.origins = command.origins;
  options.access.loopback_only = is_loopback(options.http.host);
  if (!options.access.loopback_only && options.access.api_keys.empty() && !command.allow_public)
    return usage_error("--host ", command.host,
                       " can be reached by others, and there is no key: give --api-key, or "
                       "--allow-public if everyone may ask");
  options.engine.max_queue = command.max_queue;
  options.engine.prefix_file = command.prefix_file;
  options.names = command.names;
  if (options.names.empty()) options.names.push_back(name_of(command.common.model));
  options.version = kVersion;
  return options;
}

// In the person's browser, as desktops do it.
void show_page(const std::string& url) {
  const char* const command[] = {"xdg-open", url.c_str(), nullptr};
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  for (const int fd : {0, 1, 2})
    posix_spawn_file_actions_addopen(&quiet, fd, "/dev/null", O_RDWR, 0);
  pid_t pid = 0;
  const int failed =
      posix_spawnp(&pid, command[0], &quiet, nullptr, const_cast<char* const*>(command), environ);
  posix_spawn_file_actions_destroy(&quiet);
  if (failed != 0) print_note(str_cat("there is no xdg-open to show the page; it is at ", url));
}

// Until a signal, and then until what runs has ended.
Status wait_for_end(Server& server) {
  const InterruptScope scope(/*also_term=*/true);
  wait_until_interrupted();
  const bool by_term = interrupted_by_term();
  print_note("ending when the answers that are being written have ended; again: at once");
  std::promise<void> drained;
  server.drain([&drained] { drained.set_value(); });
  drained.get_future().wait();
  server.wait_until_closed(kLastBytes);
  return by_term ? Status() : Status(interrupted_error());
}

Status run_serve(const ServeCommand& command) {
  FATHOM_TRY(const ServerOptions options, server_options(command));
  LoadModelOptions load_model = load_options(command.common);
  load_model.max_running = command.max_running;
  load_model.kv_memory = command.kv_memory;
  FATHOM_TRY(const auto model, load(load_model));
  FATHOM_TRY(const auto server, Server::start(*model, options));
  const bool v6 = options.http.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + options.http.host + "]" : options.http.host;
  const std::string url = str_cat(options.http.tls_certificate.empty() ? "http://" : "https://",
                                  host, ":", server->port());
  print_note(str_cat("serving ", options.names.front(), " on ", url, "/v1, up to ",
                     command.max_running, " answers at once, room for ",
                     model->kv->n_blocks() * kKvBlockRows, " tokens; the chat page is at ", url,
                     "; Ctrl-C ends it"));
  if (server->n_restored_tokens() > 0)
    print_note(str_cat(server->n_restored_tokens(), " tokens of earlier prompts are read already"));
  if (command.open_page) show_page(url);
  const Status status = wait_for_end(*server);
  note_streaming(*model);
  return status;
}

}  // namespace

void add_serve(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<ServeCommand>();
  add_common_options(app, command->common, (kRunOptions & ~kSeedOption) | kDraftsOption);
  app.add_option("--host", command->host, "the address to listen on")
      ->capture_default_str()
      ->group("Connections");
  app.add_option("--port", command->port, "the port to listen on; 0: any that is free")
      ->transform(whole_number(0, 65535))
      ->capture_default_str()
      ->group("Connections");
  app.add_flag("--open", command->open_page, "show the chat page in the browser")
      ->group("Connections");
  app.add_option("--tls-cert", command->tls_certificate, "a certificate chain in PEM, for https")
      ->default_str("none")
      ->group("Connections");
  app.add_option("--tls-key", command->tls_key, "its private key in PEM")
      ->default_str("none")
      ->group("Connections");
  app.add_option("--api-key", command->api_keys, "a key that requests must bring; may be repeated")
      ->default_str("FATHOM_API_KEY, else none")
      ->group("Access");
  app.add_option("--api-key-file", command->api_key_file, "a file with a key a line")
      ->default_str("none")
      ->group("Access");
  app.add_option("--cors", command->origins,
                 "pages of this origin may ask (https://example.org; *: all); may be repeated")
      ->default_str("none")
      ->group("Access");
  app.add_flag("--allow-public", command->allow_public,
               "listen on an address that others reach, without a key")
      ->group("Access");
  app.add_option("--served-model-name", command->names,
                 "what clients call the model; may be repeated")
      ->default_str("the folder's name")
      ->group("Running");
  app.add_option("--max-running", command->max_running, "answers that are written at once")
      ->transform(whole_number(1, 1024))
      ->capture_default_str()
      ->group("Running");
  app.add_option("--max-queue", command->max_queue, "requests that may wait; more get 429")
      ->transform(whole_number(0, 1'000'000))
      ->capture_default_str()
      ->group("Running");
  add_size_option(app, "--kv-memory", command->kv_memory, "memory of the caches of all requests")
      ->default_str("four full contexts")
      ->group("Running");
  app.add_option("--prefix-cache", command->prefix_file,
                 "keep what has been read of prompts in this file, for the next start")
      ->default_str("none")
      ->group("Running");
  set_example(app, "fathom serve --model DeepSeek-V2-Lite --port 8000 --api-key secret");
  invocation.run = [command] { return run_serve(*command); };
}

}  // namespace fathom::cli
