// OpenAI's newer API: /responses, and what is kept of them.
#include "io/printable.h"
#include "server/responses_answer.h"
#include "server/responses_request.h"
#include "server/routes.h"
#include "server/token_details.h"

namespace fathom {

namespace {

constexpr size_t kResponseIdBytesMax = 64;

ApiError no_response(std::string_view id, int status, std::string_view param) {
  return {.status = status,
          .message = str_cat("there is no response ", printable(id.substr(0, kResponseIdBytesMax)),
                             ": it was never kept, or is forgotten"),
          .param = std::string(param),
          .code = "response_not_found"};
}

bool runs(const Json& response) {
  const std::string& status = response.find("status")->as_string();
  return status == "queued" || status == "in_progress";
}

}  // namespace

bool Routes::earlier_messages(Call& call, const Json& body, Json& out) {
  ApiFields fields(body);
  std::string id;
  fields.text("previous_response_id", id, kResponseIdBytesMax);
  if (!fields.ok()) {
    refuse(call, *fields.error());
    return false;
  }
  if (id.empty()) return true;
  const auto earlier = responses_->find(access_.partition(call.request), id);
  if (!earlier) {
    refuse(call, no_response(id, 400, "previous_response_id"));
    return false;
  }
  if (runs(earlier->response)) {
    refuse(call, invalid_request("previous_response_id",
                                 str_cat("the response ", id, " is not complete yet")));
    return false;
  }
  out = earlier->messages;
  return true;
}

void Routes::responses(Call& call) {
  Json body, earlier;
  if (!read_body(call, body) || !earlier_messages(call, body, earlier)) return;
  ResponsesRequest asked;
  if (const auto error = parse_responses_request(body, earlier, model_.model.generation.sampling,
                                                 model_.model.config.vocab_size, asked))
    return refuse(call, *error);
  if (!check_model(call, asked.chat.model)) return;
  const GenerationFields& generation = asked.chat.generation;
  GenerateRequest request = with_own_seed(call, generation.request, generation.has_seed);
  ResponsesAnswerOptions options;
  if (!prepare(call, asked.chat, request, options.parser)) return;
  // Its items are whole at the end of a stream too.
  const int64_t detail_bytes = response_detail_bytes(request.logprobs);
  cut_to_details(request, /*n_choices=*/1, detail_bytes);
  if (!check_details(call, "top_logprobs", engine_.answer_tokens(request), detail_bytes,
                     "logprobs"))
    return;
  options.head = head(call, "resp_", asked.chat.model);
  options.n_prompt = std::ssize(request.prompt);
  options.stream = generation.stream;
  options.background = asked.background;
  options.logprobs = asked.chat.logprobs;
  options.shown = std::move(asked.shown);
  if (asked.store) options.store = responses_;
  options.owner = access_.partition(call.request);
  options.input_items = std::move(asked.input_items);
  options.messages = std::move(asked.messages);
  const std::string id = options.head.id, owner = options.owner;
  auto answer =
      std::make_shared<ResponsesAnswer>(*model_.model.tokenizer, std::move(options), call.reply);
  const Json begun = answer->begin();
  std::vector<GenerateRequest> choices;
  choices.push_back(std::move(request));
  const TicketId ticket =
      submit(call, generation.stream, std::move(choices), std::move(answer), !asked.background);
  if (ticket == 0) {
    responses_->erase(owner, id);
    return;
  }
  responses_->set_ticket(owner, id, ticket);
  if (asked.background) send(call, begun);
}

// "ID" or "ID/input_items".
void Routes::one_response(Call& call) {
  constexpr std::string_view kItems = "/input_items";
  const bool wants_items = call.argument.ends_with(kItems);
  const std::string id =
      call.argument.substr(0, call.argument.size() - (wants_items ? kItems.size() : 0));
  const auto found = responses_->find(access_.partition(call.request), id);
  if (!found) return refuse(call, no_response(id, 404, ""));
  if (!wants_items) return send(call, found->response);
  send(call, Json::Object{{"object", "list"}, {"data", found->input_items}, {"has_more", false}});
}

void Routes::delete_response(Call& call) {
  const std::string owner = access_.partition(call.request);
  const auto found = responses_->find(owner, call.argument);
  if (!found) return refuse(call, no_response(call.argument, 404, ""));
  engine_.cancel(found->ticket);
  responses_->erase(owner, call.argument);
  send(call,
       Json::Object{{"id", call.argument}, {"object", "response.deleted"}, {"deleted", true}});
}

// "ID/cancel".
void Routes::cancel_response(Call& call) {
  constexpr std::string_view kCancel = "/cancel";
  if (!call.argument.ends_with(kCancel))
    return refuse(call, {.status = 404,
                         .message = str_cat("there is no endpoint ", printable(call.request.path)),
                         .param = "",
                         .code = "unknown_endpoint"});
  const std::string id = call.argument.substr(0, call.argument.size() - kCancel.size());
  const std::string owner = access_.partition(call.request);
  auto found = responses_->find(owner, id);
  if (!found) return refuse(call, no_response(id, 404, ""));
  if (runs(found->response)) {
    engine_.cancel(found->ticket);
    found->response.set("status", "cancelled");
  }
  send(call, found->response);
}

}  // namespace fathom
