// What /v1/responses remembers: answers by their id, for whoever made them, so that a later request
// can go on from one, look at it or cancel it. In memory and bounded: the oldest are forgotten.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "io/json.h"
#include "server/engine_thread.h"

namespace fathom {

struct StoredResponse {
  Json response;     // as it is shown
  Json input_items;  // of the request alone
  Json messages;     // the conversation in the form of chat, the answer included once it is there
  TicketId ticket = 0;
};

class ResponseStore {
 public:
  static constexpr size_t kResponsesMax = 1000;
  static constexpr size_t kBytesMax = size_t{64} << 20;

  // owner divides what clients see (server/access.h). Any number of threads.
  void put(const std::string& owner, const std::string& id, StoredResponse stored);
  // The same of one that is there; nothing where it has been deleted or forgotten.
  void update(const std::string& owner, const std::string& id, StoredResponse stored);
  std::optional<StoredResponse> find(const std::string& owner, const std::string& id) const;
  bool erase(const std::string& owner, const std::string& id);
  // Nothing where it has been forgotten.
  void set_ticket(const std::string& owner, const std::string& id, TicketId ticket);

 private:
  struct Entry {
    std::string key;
    StoredResponse stored;
    size_t n_bytes;
  };
  using Entries = std::list<Entry>;
  void add(const std::string& key, StoredResponse stored);
  void drop(Entries::iterator entry);

  mutable std::mutex mutex_;
  Entries entries_;  // the oldest first
  std::unordered_map<std::string, Entries::iterator> places_;
  size_t n_bytes_ = 0;
};

}  // namespace fathom
