// Goal: the template of trained tokenizers says what V3's says, and is complete. Method: both
// render the same conversations; tool calls against the text that the format wants.
#include "tokenizer/v3_chat_template.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "tokenizer/chat_template.h"

namespace fathom {
namespace {

std::string render(std::string_view source, const std::string& context) {
  const auto parsed = ChatTemplate::parse(source);
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().message);
  const auto out =
      parsed->render(*parse_json(context), "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>");
  EXPECT_TRUE(out.ok()) << (out.ok() ? "" : out.error().message);
  return out.ok() ? out->text() : "";
}

TEST(V3ChatTemplate, TheTemplateSaysWhatV3sSays) {
  const std::string v3 = read_file(std::string(FATHOM_TESTDATA) + "/chat/v3.jinja").value();
  for (const char* messages :
       {R"([])", R"([{"role":"user","content":" Hi\n"}])",
        R"([{"role":"system","content":"Be kind."},{"role":"user","content":"Hi"},
            {"role":"assistant","content":"Hello!"},{"role":"system","content":"And short."},
            {"role":"user","content":"Bye"}])",
        R"([{"role":"user","content":"Hi"},{"role":"assistant","content":""}])",
        // Two calls are what V3's template closes.
        R"([{"role":"user","content":"?"},{"role":"assistant","content":null,"tool_calls":[
              {"type":"function","function":{"name":"a","arguments":"{\"x\": 1}"}},
              {"type":"function","function":{"name":"b","arguments":"{}"}}]},
            {"role":"tool","content":"1"},{"role":"tool","content":"2"}])",
        R"([{"role":"user","content":"?"},{"role":"assistant","content":null,"tool_calls":[
              {"type":"function","function":{"name":"a","arguments":"{}"}},
              {"type":"function","function":{"name":"b","arguments":"{}"}}]},
            {"role":"tool","content":"1"},{"role":"assistant","content":"One."}])"}) {
    for (const char* prompt : {"true", "false"}) {
      const std::string context =
          str_cat("{\"messages\":", messages, ",\"add_generation_prompt\":", prompt, "}");
      EXPECT_EQ(render(kV3ChatTemplate, context), render(v3, context)) << context;
    }
  }
}

TEST(V3ChatTemplate, TheTemplateClosesEveryCallAndEveryTurn) {
  const std::string one_call =
      R"({"role":"assistant","content":"Wait.","tool_calls":[{"function":{"name":"f",
          "arguments":{"a":"b"}}}]},{"role":"tool","content":"r"})";
  const std::string context = str_cat(R"({"messages":[{"role":"user","content":"q"},)", one_call,
                                      ",", one_call, R"(,{"role":"user","content":"s"}]})");
  const std::string call =
      "Wait.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n"
      "{\"a\": \"b\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>";
  const std::string output =
      "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>r<｜tool▁output▁end｜><｜tool▁outputs▁end｜>";
  EXPECT_EQ(render(kV3ChatTemplate, context),
            str_cat("<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜>", call, output, call, output,
                    "<｜User｜>s"));
}

}  // namespace
}  // namespace fathom
