#include "addon_data.h"

#include "mapping.h"

namespace ivshmem {

AddonData::AddonData(napi_env env) {
  CheckStatus(env, napi_get_uv_event_loop(env, &loop_));
  CheckStatus(env, napi_add_async_cleanup_hook(env, OnExit, this, &exit_hook_));
}

AddonData& AddonData::From(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

void AddonData::HandleClosed() {
  --open_handles_;
  if (exiting_ && open_handles_ == 0) napi_remove_async_cleanup_hook(exit_hook_);
}

void AddonData::OnExit(napi_async_cleanup_hook_handle handle, void* data) {
  auto* self = static_cast<AddonData*>(data);
  self->exiting_ = true;
  while (!self->closables_.empty()) self->closables_.back()->Close();
  // The environment (and this object) lives until the hook is removed, which the last uv_close callback does.
  if (self->open_handles_ == 0) napi_remove_async_cleanup_hook(handle);
}

std::shared_ptr<Region> AddonData::FindRegion(const void* address) {
  for (const auto& weak : regions_) {
    if (auto region = weak.lock(); region && region->Contains(address)) return region;
  }
  return nullptr;
}

void AddonData::AddRegion(const std::shared_ptr<Region>& region) {
  std::erase_if(regions_, [](const auto& weak) { return weak.expired(); });
  regions_.push_back(region);
}

}  // namespace ivshmem
