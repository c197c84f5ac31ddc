#include "home.h"

#include <algorithm>
#include <bit>

namespace ivshmem::dsm {

void Home::Own(PageId page) {
  Entry& entry = entries_[page];
  entry.holders = Bit(self_);
  entry.exclusive = true;
}

void Home::Reset(NodeMask alive) {
  entries_.clear();
  alive_ = alive;
  ended_ = 0;
}

bool Home::Receive(NodeId from, const Message& message, Sends& sends) {
  switch (message.type) {
    case MessageType::kGet:
      if (message.right == Right::kNone) return false;
      return Enqueue(from, message, message.right == Right::kWrite ? Want::kWrite : Want::kRead, sends);
    case MessageType::kEvict:
      return from != self_ && Enqueue(from, message, Want::kEvict, sends);
    case MessageType::kInvalidated:
      return Invalidated(from, message.page, sends);
    case MessageType::kDone:
      return Done(from, message, sends);
    case MessageType::kReport:
      return Report(from, message);
    case MessageType::kReportEnd:
      return ReportEnd(from, sends);
    default:
      return false;
  }
}

bool Home::Enqueue(NodeId from, const Message& message, Want want, Sends& sends) {
  Entry& entry = entries_[message.page];
  // A node asks for a page once at a time, whatever it wants of it: so a queue is never longer than the view.
  const auto same = [&](const Request& request) { return request.from == from; };
  if (std::any_of(entry.waiting.begin(), entry.waiting.end(), same)) return false;
  if (entry.active && !entry.evicting && entry.requester == from) return false;
  if (entry.active && entry.evicting && entry.evictor == from) return false;
  entry.waiting.push_back({from, want});
  ServeNext(message.page, entry, sends);
  return true;
}

void Home::ServeNext(PageId page, Entry& entry, Sends& sends) {
  while (rebuilt() && !entry.active && !entry.waiting.empty()) {
    const Request request = entry.waiting.front();
    entry.waiting.erase(entry.waiting.begin());
    if (request.want == Want::kEvict) {
      ServeEvict(page, entry, request.from, sends);
      continue;
    }
    if (entry.holders == 0) {
      Message fail = About(MessageType::kFail, page);
      fail.failure = Failure::kLost;
      sends.emplace_back(request.from, fail);
      continue;
    }
    entry.active = true;
    entry.requester = request.from;
    if (request.want == Want::kWrite) {
      ServeWrite(page, entry, sends);
    } else {
      ServeRead(page, entry, sends);
    }
  }
}

// Any holder will do; this node is the nearest to itself.
NodeId Home::Source(const Entry& entry) const {
  if ((entry.holders & Bit(self_)) != 0) return self_;
  return static_cast<NodeId>(std::countr_zero(entry.holders));
}

void Home::ServeRead(PageId page, Entry& entry, Sends& sends) {
  entry.granted = true;
  entry.right = Right::kRead;
  if ((entry.holders & Bit(entry.requester)) != 0) {
    if (entry.exclusive) entry.right = Right::kWrite;
    sends.emplace_back(entry.requester, About(MessageType::kGrant, page, entry.right));
    return;
  }
  Message forward = About(MessageType::kForward, page, Right::kRead);
  forward.requester = entry.requester;
  forward.version = entry.version;
  sends.emplace_back(Source(entry), forward);
}

// No node may be able to read when another begins to write: all but the one copy that becomes the writer's
// are gone, and known to be gone, before that copy is handed over.
void Home::ServeWrite(PageId page, Entry& entry, Sends& sends) {
  entry.granted = false;
  entry.right = Right::kWrite;
  const bool has = (entry.holders & Bit(entry.requester)) != 0;
  entry.awaited = entry.holders & ~Bit(has ? entry.requester : Source(entry));
  // The whole mask is there before the first message leaves: one to this node itself is answered at once.
  for (NodeMask left = entry.awaited; left != 0; left &= left - 1) {
    sends.emplace_back(static_cast<NodeId>(std::countr_zero(left)), About(MessageType::kInvalidate, page));
  }
  if (entry.awaited == 0) GiveWrite(page, entry, sends);
}

void Home::GiveWrite(PageId page, Entry& entry, Sends& sends) {
  entry.granted = true;
  entry.version++;
  const bool has = (entry.holders & Bit(entry.requester)) != 0;
  Message message = About(has ? MessageType::kGrant : MessageType::kForward, page, Right::kWrite);
  message.requester = entry.requester;
  message.version = entry.version;
  sends.emplace_back(has ? entry.requester : Source(entry), message);
}

// The last copy comes home; any other may go. It counts until its holder says that it has forgotten it: were
// it struck off before, a new view could find it beside a writer's.
void Home::ServeEvict(PageId page, Entry& entry, NodeId from, Sends& sends) {
  if ((entry.holders & Bit(from)) == 0) {
    sends.emplace_back(from, About(MessageType::kEvicted, page));
    return;
  }
  entry.active = true;
  entry.evicting = true;
  entry.evictor = from;
  entry.requester = self_;
  if (entry.holders == Bit(from)) {
    entry.right = Right::kWrite;
    GiveWrite(page, entry, sends);
    return;
  }
  entry.granted = false;
  entry.awaited = Bit(from);
  sends.emplace_back(from, About(MessageType::kInvalidate, page));
}

void Home::Finish(PageId page, Entry& entry, Sends& sends) {
  if (entry.evicting) sends.emplace_back(entry.evictor, About(MessageType::kEvicted, page));
  entry.active = entry.granted = entry.evicting = false;
  ServeNext(page, entry, sends);
}

bool Home::Invalidated(NodeId from, PageId page, Sends& sends) {
  const auto found = entries_.find(page);
  if (found == entries_.end() || (found->second.awaited & Bit(from)) == 0) return false;
  Entry& entry = found->second;
  entry.awaited &= ~Bit(from);
  entry.holders &= ~Bit(from);
  if (entry.awaited != 0) return true;
  if (entry.evicting) {
    Finish(page, entry, sends);
  } else {
    GiveWrite(page, entry, sends);
  }
  return true;
}

bool Home::Done(NodeId from, const Message& message, Sends& sends) {
  const auto found = entries_.find(message.page);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  if (!entry.active || !entry.granted || entry.requester != from) return false;
  if (entry.right == Right::kWrite) {
    entry.holders = Bit(from);
    entry.exclusive = true;
  } else {
    entry.holders |= Bit(from);
    entry.exclusive = false;
  }
  Finish(message.page, entry, sends);
  return true;
}

bool Home::Report(NodeId from, const Message& message) {
  if ((ended_ & Bit(from)) != 0 || message.right == Right::kNone) return false;
  Entry& entry = entries_[message.page];
  // Two owners, or an owner beside readers: one of them is not what it says.
  if ((entry.holders & Bit(from)) != 0 || entry.exclusive) return false;
  if (message.right == Right::kWrite && entry.holders != 0) return false;
  entry.holders |= Bit(from);
  entry.exclusive = message.right == Right::kWrite;
  entry.version = std::max(entry.version, message.version);
  return true;
}

bool Home::ReportEnd(NodeId from, Sends& sends) {
  if ((ended_ & Bit(from)) != 0) return false;
  ended_ |= Bit(from);
  if (!rebuilt()) return true;
  for (auto& [page, entry] : entries_) ServeNext(page, entry, sends);
  return true;
}

bool Home::Evicting(PageId page) const {
  const auto found = entries_.find(page);
  return found != entries_.end() && found->second.active && found->second.evicting;
}

bool Home::idle() const {
  return rebuilt() && std::all_of(entries_.begin(), entries_.end(), [](const auto& item) {
           return !item.second.active && item.second.waiting.empty();
         });
}

void Home::Digest(std::vector<uint64_t>& words) const {
  std::vector<PageId> pages;
  for (const auto& item : entries_) pages.push_back(item.first);
  std::sort(pages.begin(), pages.end());
  words.insert(words.end(), {alive_, ended_, pages.size()});
  for (const PageId page : pages) {
    const Entry& entry = entries_.at(page);
    const uint64_t flags = (entry.exclusive ? 1u : 0u) | (entry.active ? 2u : 0u) |
                           (entry.granted ? 4u : 0u) | (entry.evicting ? 8u : 0u);
    words.insert(words.end(), {page, entry.holders, entry.awaited, flags, entry.waiting.size()});
    if (entry.active) {
      words.insert(words.end(), {entry.requester, entry.evicting ? entry.evictor : 0u,
                                 static_cast<uint64_t>(entry.right)});
    }
    for (const Request& request : entry.waiting) {
      words.push_back(static_cast<uint64_t>(request.from) << 8 | static_cast<uint64_t>(request.want));
    }
  }
}

}  // namespace ivshmem::dsm
