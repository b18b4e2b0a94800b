#include "server/response_store.h"

namespace fathom {

namespace {
// No id that is kept and no owner has a line's end in it; of an id that is asked for it may be.
std::string key_of(const std::string& owner, const std::string& id) { return id + "\n" + owner; }

size_t size_of(const StoredResponse& stored) {
  return stored.response.dump().size() + stored.input_items.dump().size() +
         stored.messages.dump().size();
}
}  // namespace

void ResponseStore::put(const std::string& owner, const std::string& id, StoredResponse stored) {
  const std::lock_guard lock(mutex_);
  add(key_of(owner, id), std::move(stored));
}

void ResponseStore::update(const std::string& owner, const std::string& id, StoredResponse stored) {
  const std::lock_guard lock(mutex_);
  const std::string key = key_of(owner, id);
  if (places_.contains(key)) add(key, std::move(stored));
}

void ResponseStore::add(const std::string& key, StoredResponse stored) {
  const size_t n_bytes = size_of(stored);
  if (const auto known = places_.find(key); known != places_.end()) {
    if (stored.ticket == 0) stored.ticket = known->second->stored.ticket;
    drop(known->second);
  }
  if (n_bytes > kBytesMax) return;
  while (!entries_.empty() && (entries_.size() >= kResponsesMax || n_bytes_ + n_bytes > kBytesMax))
    drop(entries_.begin());
  n_bytes_ += n_bytes;
  entries_.push_back({key, std::move(stored), n_bytes});
  places_[key] = std::prev(entries_.end());
}

std::optional<StoredResponse> ResponseStore::find(const std::string& owner,
                                                  const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto known = places_.find(key_of(owner, id));
  if (known == places_.end()) return std::nullopt;
  return known->second->stored;
}

bool ResponseStore::erase(const std::string& owner, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto known = places_.find(key_of(owner, id));
  if (known == places_.end()) return false;
  drop(known->second);
  return true;
}

void ResponseStore::set_ticket(const std::string& owner, const std::string& id, TicketId ticket) {
  const std::lock_guard lock(mutex_);
  const auto known = places_.find(key_of(owner, id));
  if (known != places_.end()) known->second->stored.ticket = ticket;
}

void ResponseStore::drop(Entries::iterator entry) {
  n_bytes_ -= entry->n_bytes;
  places_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace fathom
