#include "io/checksums.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

#include "io/files.h"
#include "io/printable.h"
#include "io/sha256.h"

namespace fathom {

namespace {

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdefABCDEF") == text.npos;
}

std::string lower(std::string_view hex) {
  std::string out(hex);
  for (char& c : out) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// "<64 digits> <blank or *><name>" a line, as sha256sum writes it.
Result<std::map<std::string, std::string>> read_sums(const ModelFiles& files) {
  std::map<std::string, std::string> sums;
  if (!files.exists(kChecksumsName)) return sums;
  FATHOM_TRY(const FileBytes file, files.open_small(kChecksumsName, int64_t{64} << 20));
  std::string_view text = file.text();
  for (int64_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const bool good = line.size() > 66 && is_sha256(line.substr(0, 64)) && line[64] == ' ' &&
                      (line[65] == ' ' || line[65] == '*');
    if (!good) {
      return invalid_error(files.path_of(kChecksumsName), ", line ", line_number, ": \"",
                           printable(line, 80), "\" is no checksum as sha256sum writes it");
    }
    std::string_view name = line.substr(66);
    if (name.starts_with("./")) name.remove_prefix(2);
    sums[std::string(name)] = lower(line.substr(0, 64));
  }
  return sums;
}

// A hub's cache keeps files under their checksums and links to them.
std::optional<std::string> linked_checksum(const ModelFiles& files, const std::string& name) {
  if (files.is_embedded()) return std::nullopt;
  std::error_code not_a_link;
  const auto target = std::filesystem::read_symlink(join_path(files.folder(), name), not_a_link);
  const std::string blob = target.filename().string();
  if (not_a_link || !is_sha256(blob)) return std::nullopt;
  return lower(blob);
}

}  // namespace

Result<std::vector<FileChecksum>> known_checksums(const ModelFiles& files,
                                                  const std::vector<std::string>& names) {
  FATHOM_TRY(const auto sums, read_sums(files));
  std::vector<FileChecksum> known;
  for (const std::string& name : names) {
    if (const auto it = sums.find(name); it != sums.end()) {
      known.push_back({name, it->second});
    } else if (auto linked = linked_checksum(files, name)) {
      known.push_back({name, *linked});
    }
  }
  return known;
}

Status verify_checksum(const ModelFiles& files, const FileChecksum& expected) {
  FATHOM_TRY(const FileBytes file, files.open(expected.name));
  const std::string actual = sha256_hex(file.bytes());
  if (actual == expected.sha256) return {};
  return invalid_error(files.path_of(expected.name), " is damaged: its SHA-256 is ", actual,
                       ", expected ", expected.sha256, "; download it again");
}

}  // namespace fathom
