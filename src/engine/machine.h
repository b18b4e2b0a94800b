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
// The largest resident size that this process has had, mapped files that were read included.
int64_t peak_memory_bytes();

}  // namespace fathom
