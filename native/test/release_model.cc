// Explores every order of events around the nodes of native/dsm/release.h: deliveries, faults, stores,
// differences, flushes, refreshes, a lock that passes from host to host, deaths, lost connections and joins.
// In each state: a host sees its own stores; what was released before a refresh is seen after it, and is with
// all who keep the page; under the lock nothing old is found; no page is lost that somebody keeps; no message
// between honest nodes is rejected.
//
// release_model [NAME [MAX_STATES]] runs one scenario, or all but the long ones; those with a mutant have to
// find a violation.
#include "explore.h"
#include "release_world.h"

namespace {

using namespace ivshmem::dsm::release_model;

//  name             nodes pages faults stores flushes refr locks evict deaths views joins
const Scenario kScenarios[] = {
    {"two-nodes", 2, 1, 4, 3, 2, 2, 0, 0, 0, 0, 0},
    {"two-nodes-evict", 2, 1, 3, 2, 1, 1, 0, 2, 0, 0, 0},
    {"two-pages", 2, 2, 3, 2, 1, 1, 0, 1, 0, 0, 0},
    {"lock", 2, 1, 3, 2, 0, 0, 2, 0, 0, 0, 0},
    {"lock-three", 3, 1, 3, 2, 0, 0, 2, 0, 0, 0, 0},
    {"false-sharing", 3, 1, 3, 2, 1, 1, 0, 0, 0, 0, 0},
    {"new-view", 2, 1, 3, 2, 2, 1, 0, 0, 0, 1, 0},
    {"lock-new-view", 2, 1, 3, 2, 0, 0, 2, 0, 0, 1, 0},
    {"death", 3, 1, 2, 2, 1, 1, 0, 0, 1, 0, 0},
    {"lock-death", 3, 1, 2, 2, 0, 0, 3, 0, 1, 0, 0},
    {"evict-death", 3, 1, 2, 1, 1, 0, 0, 1, 1, 0, 0},
    {"join", 3, 1, 2, 1, 1, 1, 0, 0, 0, 0, 1},
    {"keep", 2, 1, 3, 2, 2, 2, 0, 0, 0, 0, 0, Mutant::kNone, 2},
    {"keep-three", 3, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, Mutant::kNone, 2},
    {"keep-new-view", 2, 1, 2, 2, 2, 1, 0, 0, 0, 1, 0, Mutant::kNone, 2},
    {"keep-death", 3, 1, 2, 1, 1, 1, 0, 0, 1, 0, 0, Mutant::kNone, 2},
    {"keep-two-deaths", 3, 1, 2, 1, 1, 0, 0, 0, 2, 0, 0, Mutant::kNone, 2},
    {"keep-lock-death", 3, 1, 2, 1, 0, 0, 2, 0, 1, 0, 0, Mutant::kNone, 2},
    {"keep-join", 2, 1, 3, 2, 1, 1, 0, 0, 0, 0, 1, Mutant::kNone, 2},
    {"keep-join-death", 3, 1, 2, 1, 1, 0, 0, 0, 1, 0, 1, Mutant::kNone, 2},
    {"keep-join-deaths", 3, 1, 2, 1, 1, 0, 0, 0, 2, 0, 1, Mutant::kNone, 2},
    {"keep-evict-death", 3, 1, 2, 1, 1, 0, 0, 1, 1, 0, 0, Mutant::kNone, 2},
    {"keep-pages", 2, 2, 2, 2, 1, 1, 0, 1, 1, 0, 0, Mutant::kNone, 2},
    {"keep-all", 3, 1, 2, 1, 1, 1, 0, 0, 1, 0, 0, Mutant::kNone, 3},
    {"long-two-nodes", 2, 1, 6, 4, 3, 3, 0, 1, 0, 0, 0},
    {"long-lock-three", 3, 1, 4, 1, 1, 0, 3, 0, 0, 0, 0},
    {"long-lock-death", 3, 1, 3, 2, 0, 0, 3, 0, 1, 0, 0},
    {"long-keep", 2, 1, 4, 3, 2, 2, 0, 0, 0, 0, 0, Mutant::kNone, 2},
    {"long-keep-two-deaths", 3, 1, 2, 2, 1, 1, 0, 0, 2, 0, 0, Mutant::kNone, 2},
    {"long-two-pages", 2, 2, 4, 3, 2, 1, 0, 1, 0, 0, 0},
    {"mutant-no-twin", 2, 1, 4, 3, 2, 2, 0, 0, 0, 0, 0, Mutant::kNoTwin},
    {"mutant-late-twin", 2, 1, 4, 3, 2, 2, 0, 0, 0, 0, 0, Mutant::kLateTwin},
    {"mutant-early-release", 2, 1, 4, 3, 0, 0, 3, 0, 0, 0, 0, Mutant::kEarlyRelease},
    {"mutant-early-acquire", 2, 1, 4, 3, 0, 0, 3, 0, 0, 0, 0, Mutant::kEarlyAcquire},
    {"mutant-early-ack", 2, 1, 4, 3, 2, 2, 0, 0, 0, 0, 0, Mutant::kEarlyAck},
    {"mutant-forget-merge", 2, 1, 3, 2, 2, 1, 0, 0, 0, 1, 0, Mutant::kForgetMerge},
    {"mutant-repeat", 2, 1, 4, 3, 0, 0, 3, 0, 0, 0, 0, Mutant::kRepeat},
    {"mutant-unkept", 3, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, Mutant::kUnkept, 2},
    {"mutant-empty-pass", 3, 1, 2, 2, 1, 1, 0, 0, 0, 0, 0, Mutant::kEmptyPass, 2},
    {"mutant-stale-keeper", 2, 1, 2, 2, 1, 1, 0, 0, 0, 0, 1, Mutant::kStaleKeeper, 2},
    {"mutant-two-homes", 3, 1, 2, 1, 1, 1, 0, 0, 1, 0, 0, Mutant::kTwoHomes, 2},
    {"mutant-clobber", 3, 1, 2, 1, 1, 0, 0, 0, 1, 0, 0, Mutant::kClobber, 2},
};

}  // namespace

int main(int argc, char** argv) {
  return ivshmem::dsm::model::RunScenarios<State>(argc, argv, kScenarios);
}
