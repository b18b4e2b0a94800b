#include "engine/generation_config.h"

#include "io/json.h"

namespace fathom {

namespace {

Status read_number(const Json& json, std::string_view field, const std::string& file,
                   double& value) {
  const Json* found = json.find(field);
  if (found == nullptr || found->is_null()) return {};
  if (!found->is_number())
    return invalid_error(file, ": ", field, " is ", found->type_name(), ", expected a number");
  value = found->as_double();
  return {};
}

Status read_token(const Json& value, const std::string& file, std::vector<int32_t>& ids) {
  if (!value.is_int() || value.as_int() < 0 || value.as_int() > INT32_MAX) {
    return invalid_error(file, ": eos_token_id holds ", value.dump().substr(0, 40),
                         ", expected a token id");
  }
  ids.push_back(static_cast<int32_t>(value.as_int()));
  return {};
}

}  // namespace

Result<GenerationConfig> parse_generation_config(std::string_view json_text,
                                                 const std::string& file) {
  auto parsed = parse_json(json_text);
  if (!parsed.ok()) return invalid_error(file, " is ", parsed.error().message);
  const Json& json = *parsed;
  if (!json.is_object())
    return invalid_error(file, " is ", json.type_name(), ", expected an object");
  GenerationConfig config;
  SamplingParams& sampling = config.sampling;
  FATHOM_RETURN_IF_ERROR(read_number(json, "temperature", file, sampling.temperature));
  FATHOM_RETURN_IF_ERROR(read_number(json, "top_p", file, sampling.top_p));
  FATHOM_RETURN_IF_ERROR(read_number(json, "min_p", file, sampling.min_p));
  FATHOM_RETURN_IF_ERROR(
      read_number(json, "repetition_penalty", file, sampling.repetition_penalty));
  double top_k = 0;
  FATHOM_RETURN_IF_ERROR(read_number(json, "top_k", file, top_k));
  if (!(top_k >= 0 && top_k <= 1e9))
    return invalid_error(file, ": top_k is ", top_k, ", expected 0 or more");
  sampling.top_k = static_cast<int64_t>(top_k);
  if (const Json* do_sample = json.find("do_sample");
      do_sample != nullptr && !do_sample->is_null()) {
    if (!do_sample->is_bool())
      return invalid_error(file, ": do_sample is ", do_sample->type_name(),
                           ", expected true or false");
    if (!do_sample->as_bool()) sampling.temperature = 0;
  }
  if (const Json* eos = json.find("eos_token_id"); eos != nullptr && !eos->is_null()) {
    if (eos->is_array()) {
      for (const Json& id : eos->as_array())
        FATHOM_RETURN_IF_ERROR(read_token(id, file, config.eos_token_ids));
    } else {
      FATHOM_RETURN_IF_ERROR(read_token(*eos, file, config.eos_token_ids));
    }
  }
  if (const Status status = check_sampling(sampling, INT32_MAX); !status.ok()) {
    return invalid_error(file, ": ", status.error().message);
  }
  return config;
}

}  // namespace fathom
