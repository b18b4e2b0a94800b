// Which front end reads a type. Included after the Unpack* of an instruction set.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

// pass.operator()<U>() with the front end of the type.
template <class Pass>
void with_unpacker(QuantType type, const Pass& pass) {
  switch (type) {
    case QuantType::kInt8:
      return pass.template operator()<UnpackInt8>();
    case QuantType::kInt4:
      return pass.template operator()<UnpackInt4>();
    case QuantType::kQ8_0:
      return pass.template operator()<UnpackQ8_0>();
    case QuantType::kQ4_0:
      return pass.template operator()<UnpackSmall<QuantType::kQ4_0>>();
    case QuantType::kQ4_1:
      return pass.template operator()<UnpackSmall<QuantType::kQ4_1>>();
    case QuantType::kQ5_0:
      return pass.template operator()<UnpackSmall<QuantType::kQ5_0>>();
    case QuantType::kQ5_1:
      return pass.template operator()<UnpackSmall<QuantType::kQ5_1>>();
    case QuantType::kQ4_K:
      return pass.template operator()<UnpackQ4K>();
    case QuantType::kQ5_K:
      return pass.template operator()<UnpackQ5K>();
    case QuantType::kQ6_K:
      return pass.template operator()<UnpackQ6K>();
  }
}

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
