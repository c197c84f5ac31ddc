#include <napi.h>

#include "exports.h"

namespace ivshmem {

void DefineAbi(Napi::Env env, Napi::Object exports) {
  Napi::Object abi = Napi::Object::New(env);
  abi.Freeze();
  exports.Set("abi", abi);
}

}  // namespace ivshmem
