// What the operating system says of this machine and of this process.
#pragma once

#include <cstdint>
#include <string>

namespace fathom {

// The processor's name as its maker gives it; "unknown processor" where the system does not say.
std::string cpu_name();
// Memory that can be had now without swapping: the system's, or what the control group has left if
// that is less. INT64_MAX where nobody knows.
int64_t available_memory_bytes();
// All memory of this machine, or the control group's limit if that is less; INT64_MAX where nobody
// knows.
int64_t total_memory_bytes();
// What this process holds now: what a control group or the system would have to find for it.
int64_t used_memory_bytes();
// Memory that this process has mapped for itself and touched no page of yet: it costs nothing until
// then. Stacks of threads and what malloc set aside are in it too, so that only the difference of
// two moments says something, with no thread started between them.
int64_t untouched_memory_bytes();
// How much more data the process may map before the limit that it was started with (ulimit -d)
// refuses; INT64_MAX without one.
int64_t left_of_data_limit();
// The largest resident size that this process has had, mapped files that were read included.
int64_t peak_memory_bytes();

}  // namespace fathom
