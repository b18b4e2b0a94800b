// Goal: /v1/responses answers, streams, goes on, is looked at again, runs in the background and
// ends when it is told to.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/e2e/running_server.h"
#include "tests/support/json_path.h"

namespace fathom::test {
namespace {

class ServeResponses : public ServerTest {
 protected:
  static Json ask(const std::string& fields) {
    const HttpAnswer answer = server_->ask("POST", "/v1/responses", "{" + fields + "}");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.json();
  }
  static Json look(const std::string& id) {
    return server_->ask("GET", "/v1/responses/" + id).json();
  }
  // Looked at until it is over.
  static Json outcome(const std::string& id) {
    for (int i = 0; i < 2000; ++i) {
      const Json now = look(id);
      const std::string status = text_at(now, {"status"});
      if (status != "queued" && status != "in_progress") return now;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {};
  }
};

constexpr const char* kStory =
    R"("input": "Tell me a story.", "temperature": 0, "max_output_tokens": 24)";

TEST_F(ServeResponses, AnswerAsChatDoesAndGoOn) {
  const Json first = ask(kStory);
  const std::string id = text_at(first, {"id"});
  const std::string text = text_at(first, {"output", "0", "content", "0", "text"});
  EXPECT_EQ(text_at(first, {"status"}), "incomplete");
  const std::string chat =
      R"({"temperature": 0, "max_tokens": 24, "messages": [{"role": "user", "content": "Tell me a story."})";
  EXPECT_EQ(text,
            text_at(server_->chat(chat + "]}").json(), {"choices", "0", "message", "content"}));
  EXPECT_EQ(look(id).dump(), first.dump());
  EXPECT_EQ(text_at(look(id + "/input_items"), {"data", "0", "content", "0", "text"}),
            "Tell me a story.");

  const Json second = ask(
      R"("input": "And then?", "temperature": 0, "max_output_tokens": 24, "previous_response_id": ")" +
      id + "\"");
  std::string more = ", {\"role\": \"assistant\", \"content\": ";
  append_json_string(more, text);
  more += R"(}, {"role": "user", "content": "And then?"}]})";
  EXPECT_EQ(text_at(second, {"output", "0", "content", "0", "text"}),
            text_at(server_->chat(chat + more).json(), {"choices", "0", "message", "content"}));

  EXPECT_EQ(server_->ask("DELETE", "/v1/responses/" + id).status, 200);
  EXPECT_EQ(server_->ask("GET", "/v1/responses/" + id).status, 404);
  const HttpAnswer gone = server_->ask("POST", "/v1/responses",
                                       R"({"input": "a", "previous_response_id": ")" + id + "\"}");
  EXPECT_EQ(gone.status, 400);
  EXPECT_EQ(text_at(gone.json(), {"error", "param"}), "previous_response_id");
  const Json unkept = ask(std::string(kStory) + R"(, "store": false)");
  EXPECT_EQ(server_->ask("GET", "/v1/responses/" + text_at(unkept, {"id"})).status, 404);
}

TEST_F(ServeResponses, AStreamIsTheWholeInPieces) {
  const std::string whole = text_at(ask(kStory), {"output", "0", "content", "0", "text"});
  const HttpAnswer stream =
      server_->ask("POST", "/v1/responses", std::string("{") + kStory + R"(, "stream": true})");
  EXPECT_EQ(stream.header("content-type"), "text/event-stream");
  EXPECT_TRUE(stream.body.starts_with("event: response.created\n")) << stream.body;
  std::string joined, last;
  for (size_t at = stream.body.find("data: "); at != std::string::npos;
       at = stream.body.find("\ndata: ", at + 1)) {
    const size_t begin = stream.body.find('{', at);
    const Json event =
        *parse_json(stream.body.substr(begin, stream.body.find('\n', begin) - begin));
    last = text_at(event, {"type"});
    if (last == "response.output_text.delta") joined += text_at(event, {"delta"});
  }
  EXPECT_EQ(joined, whole);
  EXPECT_EQ(last, "response.incomplete");
}

TEST_F(ServeResponses, RunInTheBackgroundUntilTheyEndOrAreCancelled) {
  const Json begun = ask(std::string(kStory) + R"(, "background": true)");
  EXPECT_EQ(text_at(begun, {"status"}), "queued");
  const Json done = outcome(text_at(begun, {"id"}));
  EXPECT_EQ(text_at(done, {"status"}), "incomplete");
  EXPECT_EQ(text_at(done, {"output", "0", "content", "0", "text"}),
            text_at(ask(kStory), {"output", "0", "content", "0", "text"}));

  const Json endless = ask(R"("input": "Count.", "regex": "(1, ){10000}", "background": true)");
  const std::string id = text_at(endless, {"id"});
  const HttpAnswer cancelled = server_->ask("POST", "/v1/responses/" + id + "/cancel", "{}");
  EXPECT_EQ(text_at(cancelled.json(), {"status"}), "cancelled");
  EXPECT_EQ(text_at(outcome(id), {"status"}), "cancelled");

  // One that is deleted stays away, whatever its end writes.
  const Json gone = ask(R"("input": "Count.", "regex": "(1, ){10000}", "background": true)");
  EXPECT_EQ(server_->ask("DELETE", "/v1/responses/" + text_at(gone, {"id"})).status, 200);
  ASSERT_TRUE(server_->wait_for("requests_running", 0));
  EXPECT_EQ(server_->ask("GET", "/v1/responses/" + text_at(gone, {"id"})).status, 404);
}

TEST_F(ServeResponses, WrongOnesAreRefusedInOneSentence) {
  const HttpAnswer wrong = server_->ask("POST", "/v1/responses",
                                        R"({"input": [{"type": "item_reference", "id": "x"}]})");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(text_at(wrong.json(), {"error", "param"}), "input[0].type");
  EXPECT_EQ(server_->ask("POST", "/v1/responses/resp_x", "{}").status, 404);
  EXPECT_EQ(server_->ask("POST", "/v1/responses/resp_x/cancel", "{}").status, 404);
  EXPECT_EQ(server_->ask("DELETE", "/v1/responses/resp_x").status, 404);
}

}  // namespace
}  // namespace fathom::test
