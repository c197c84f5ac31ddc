#include <napi.h>

#include "exports.h"
#include "ring/layout.h"

namespace ivshmem {

/** The numbers of the C++ ring, for the test that compares them with src/virtqueue/layout.ts. */
void DefineAbi(Napi::Env env, Napi::Object exports) {
  Napi::Object abi = Napi::Object::New(env);
  for (const ring::AbiNumber& number : ring::kAbi) abi.Set(number.name, Napi::Number::New(env, number.value));
  abi.Freeze();
  exports.Set("abi", abi);
}

}  // namespace ivshmem
