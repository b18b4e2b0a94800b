// Goal: documents become the ids that training wants. Method: texts against the tokenizer's own
// words; conversations against the template's.
#include "train/document_tokens.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tokenizer/load_tokenizer.h"

namespace fathom {
namespace {

class DocumentTokensTest : public ::testing::Test {
 protected:
  DocumentTokensTest()
      : files_(
            ModelFiles::open_folder(std::string(FATHOM_TESTDATA) + "/../models/default").value()),
        tokenizer_(load_tokenizer(files_).value()) {}
  TokenizedDocument tokens(const Document& document, const DocumentOptions& options = {}) {
    auto made = DocumentTokenizer::create(files_, tokenizer_, options);
    EXPECT_TRUE(made.ok());
    auto out = (*made)(document);
    EXPECT_TRUE(out.ok()) << out.error().message;
    return std::move(*out);
  }
  static Document text(const std::string& content) { return {"here", content, std::nullopt}; }
  std::string decoded(std::span<const int32_t> ids) { return tokenizer_.decode(ids, false); }

  ModelFiles files_;
  Tokenizer tokenizer_;
};

TEST_F(DocumentTokensTest, ATextStandsBetweenBosAndEos) {
  const auto out = tokens(text("The little fox. <｜User｜> is text here."));
  EXPECT_EQ(out.ids.front(), *tokenizer_.bos_token_id());
  EXPECT_EQ(out.ids.back(), *tokenizer_.eos_token_id());
  const std::span<const int32_t> inner(out.ids.data() + 1, out.ids.size() - 2);
  EXPECT_EQ(decoded(inner), "The little fox. <｜User｜> is text here.");
  for (const int32_t id : inner) EXPECT_FALSE(tokenizer_.is_added(id));
  EXPECT_TRUE(out.mask.empty());
}

TEST_F(DocumentTokensTest, MiddlesAreFilledIn) {
  const std::string content = "Once upon a time there was a königin who had three sons.";
  const auto out = tokens(text(content), {.fim_rate = 1});
  const std::string written = decoded(out.ids);
  const auto between = [&](const std::string& a, const std::string& b) {
    const size_t begin = written.find(a) + a.size();
    return written.substr(begin, written.find(b) - begin);
  };
  const std::string prefix = between("<｜fim▁begin｜>", "<｜fim▁hole｜>");
  const std::string suffix = between("<｜fim▁hole｜>", "<｜fim▁end｜>");
  const std::string middle = between("<｜fim▁end｜>", "<｜end▁of▁sentence｜>");
  EXPECT_EQ(prefix + middle + suffix, content);
  EXPECT_EQ(tokens(text(content), {.fim_rate = 1}).ids, out.ids);
}

TEST_F(DocumentTokensTest, TheRateIsThatOfTheTexts) {
  int n_middles = 0, n_held_out = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto out =
        tokens(text(str_cat("text number ", i)), {.fim_rate = 0.1, .validation_fraction = 0.2});
    n_middles += out.ids[1] == *tokenizer_.token_to_id("<｜fim▁begin｜>") ? 1 : 0;
    n_held_out += out.split == Split::kValidation ? 1 : 0;
  }
  EXPECT_NEAR(n_middles, 80, 30);  // held out texts are left as they are
  EXPECT_NEAR(n_held_out, 200, 50);
}

Document conversation() {
  const Json chat = parse_json(R"({"messages": [
      {"role": "user", "content": "Who is there?"}, {"role": "assistant", "content": "A fox."},
      {"role": "user", "content": "And who else?"}, {"role": "assistant", "content": "A hen."}]})")
                        .value();
  return {"here", "", chat};
}

TEST_F(DocumentTokensTest, ConversationsGoThroughTheTemplate) {
  const auto out = tokens(conversation());
  EXPECT_EQ(
      decoded(out.ids),
      "<｜begin▁of▁sentence｜><｜User｜>Who is there?<｜Assistant｜>A fox.<｜end▁of▁sentence｜>"
      "<｜User｜>And who else?<｜Assistant｜>A hen.<｜end▁of▁sentence｜>");
  EXPECT_TRUE(out.mask.empty());
}

TEST_F(DocumentTokensTest, OnlyAnswersCountWhereAskedFor) {
  const auto out = tokens(conversation(), {.loss_on_answers = true});
  ASSERT_EQ(out.mask.size(), out.ids.size());
  std::vector<int32_t> counted;
  for (size_t i = 0; i < out.ids.size(); ++i) {
    if (out.mask[i] != 0) counted.push_back(out.ids[i]);
  }
  EXPECT_EQ(decoded(counted), "A fox.<｜end▁of▁sentence｜>A hen.<｜end▁of▁sentence｜>");
  EXPECT_EQ(decoded(out.ids), decoded(tokens(conversation()).ids));
}

TEST_F(DocumentTokensTest, EqualDocumentsHaveEqualHashes) {
  EXPECT_EQ(tokens(text("a")).hash, tokens({"elsewhere", "a", std::nullopt}).hash);
  EXPECT_NE(tokens(text("a")).hash, tokens(text("b")).hash);
}

TEST_F(DocumentTokensTest, BadConversationsSayWhere) {
  auto made = DocumentTokenizer::create(files_, tokenizer_, {});
  Document bad = conversation();
  bad.chat = parse_json(R"({"messages": [3]})").value();
  const auto out = (*made)(bad);
  if (!out.ok()) {
    EXPECT_TRUE(out.error().message.starts_with("here: "));
  }
}

}  // namespace
}  // namespace fathom
