// Goal: files, pipes and standard input become the documents they hold. Method: small files of
// every kind, the same bytes through a pipe.
#include "train/documents.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/files.h"
#include "tests/support/packed.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

Result<std::vector<Document>> all_of(DocumentReader reader) {
  std::vector<Document> out;
  while (true) {
    FATHOM_TRY(std::optional<Document> next, reader.next());
    if (!next) return out;
    out.push_back(std::move(*next));
  }
}

Result<std::vector<Document>> read_documents(const std::string& file) {
  FATHOM_TRY(DocumentReader reader, DocumentReader::open({file}));
  return all_of(std::move(reader));
}

// As `cat file | fathom data` would, of a file that a pipe can hold.
Result<std::vector<Document>> read_through_pipe(const std::string& bytes) {
  TempFolder folder;
  EXPECT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  FileDescriptor writer(::open((folder / "pipe").c_str(), O_RDWR), 0);
  EXPECT_EQ(::write(writer.get(), bytes.data(), bytes.size()), std::ssize(bytes));
  FATHOM_TRY(DocumentReader reader, DocumentReader::open({folder / "pipe"}));
  EXPECT_EQ(reader.packed_bytes(), 0);
  writer.close();
  return all_of(std::move(reader));
}

TEST(Documents, OfTextAndJsonLines) {
  TempFolder folder;
  put_file(folder / "a.txt", "One text.\n\nOf two paragraphs.\n");
  auto documents = read_documents(folder / "a.txt");
  ASSERT_TRUE(documents.ok());
  ASSERT_EQ(documents->size(), 1u);
  EXPECT_EQ((*documents)[0].text, "One text.\n\nOf two paragraphs.\n");

  put_file(folder / "a.jsonl",
           "{\"text\": \"first\"}\n\n{\"text\": \"  \"}\n"
           "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"id\": 3}\r\n"
           "{\"text\": \"last\", \"title\": \"t\"}");
  documents = read_documents(folder / "a.jsonl");
  ASSERT_TRUE(documents.ok()) << documents.error().message;
  ASSERT_EQ(documents->size(), 3u);
  EXPECT_EQ((*documents)[0].text, "first");
  ASSERT_TRUE((*documents)[1].chat.has_value());
  EXPECT_EQ((*documents)[2].text, "last");
  EXPECT_NE((*documents)[2].where.find("a.jsonl, line 5"), std::string::npos);
  EXPECT_EQ((*documents)[2].input_bytes, 30);
  EXPECT_EQ((*documents)[1].input_bytes, 60) << "the line's, also of a conversation";
}

TEST(Documents, LongTextsAreCutAtEmptyLines) {
  TempFolder folder;
  std::string text;
  while (std::ssize(text) < 3 * DocumentReader::kTextBytes)
    text += str_cat("A paragraph of number ", text.size(), ".\n\n");
  put_file(folder / "long.txt", text);
  const auto documents = read_documents(folder / "long.txt");
  ASSERT_TRUE(documents.ok());
  EXPECT_EQ(documents->size(), 3u);
  std::string joined;
  for (const Document& document : *documents) {
    EXPECT_TRUE(document.text.starts_with("A paragraph"));
    joined += document.text;
  }
  EXPECT_EQ(joined, text);

  std::string line(static_cast<size_t>(9 * DocumentReader::kTextBytes), 'x');
  put_file(folder / "line.txt", line);
  const auto pieces = read_documents(folder / "line.txt");
  ASSERT_TRUE(pieces.ok());
  EXPECT_GT(pieces->size(), 1u);
}

TEST(Documents, BadLinesSayWhere) {
  TempFolder folder;
  for (const auto& [line, what] : {std::pair{"{\"text\": 3}", "needs \"text\""},
                                   {"[1]", "needs \"text\""},
                                   {"{\"text\": ", "a.jsonl, line 2"},
                                   {R"({"text": "a", "messages": []})", "has both"},
                                   {R"({"messages": []})", "messages is empty"},
                                   {R"({"messages": {}})", "messages is an object"},
                                   {"{\"text\": \"\xff\"}", "a.jsonl, line 2"}}) {
    put_file(folder / "a.jsonl", str_cat("{\"text\": \"fine\"}\n", line, "\n"));
    const auto documents = read_documents(folder / "a.jsonl");
    ASSERT_FALSE(documents.ok()) << line;
    EXPECT_NE(documents.error().message.find(what), std::string::npos) << documents.error().message;
    EXPECT_NE(documents.error().message.find("line 2"), std::string::npos);
  }
  EXPECT_FALSE(DocumentReader::open({folder / "none"}).ok());
}

TEST(Documents, OfAPipeTheFirstByteTellsTheKind) {
  const std::string lines = "\n \r\n{\"text\": \"first\"}\n{\"text\": \"last\"}\n";
  for (const std::string& bytes :
       {lines, "\xef\xbb\xbf" + lines, test::pack_xz(lines), test::pack_zst(lines)}) {
    const auto documents = read_through_pipe(bytes);
    ASSERT_TRUE(documents.ok()) << documents.error().message;
    ASSERT_EQ(documents->size(), 2u);
    EXPECT_EQ((*documents)[0].text, "first");
    EXPECT_NE((*documents)[1].where.find("line 4"), std::string::npos) << "no byte is lost";
  }
  for (const std::string text : {"A text { of words.", "[1]\n{}", "x"}) {
    const auto documents = read_through_pipe(text);
    ASSERT_TRUE(documents.ok()) << documents.error().message;
    ASSERT_EQ(documents->size(), 1u);
    EXPECT_EQ((*documents)[0].text, text);
  }
  EXPECT_TRUE(read_through_pipe("\n\n")->empty());
  EXPECT_FALSE(read_through_pipe("{\"text\": \"first\"}\nplain").ok());
}

TEST(Documents, AByteOrderMarkIsNoText) {
  TempFolder folder;
  const std::string mark = "\xef\xbb\xbf";
  for (const std::string name : {"a.txt", "a.jsonl"}) {
    const bool lines = name.ends_with("jsonl");
    put_file(folder / name, mark + (lines ? "{\"text\": \"words\"}" : "words"));
    const auto documents = read_documents(folder / name);
    ASSERT_TRUE(documents.ok()) << documents.error().message;
    ASSERT_EQ(documents->size(), 1u);
    EXPECT_EQ((*documents)[0].text, "words");
  }
  put_file(folder / "short.txt", "\xef\xbb");
  EXPECT_FALSE(read_documents(folder / "short.txt").ok()) << "not UTF-8";
}

}  // namespace
}  // namespace fathom
