//! The coordinator of consumer groups inside one process: who reads which partition.
//!
//! Cooperative, as Kafka's sticky protocol: only partitions that move are revoked, and one that moves goes to its next
//! owner after the previous one has let go.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Revocation, TopicPartition};

/// The topics of a bus with their number of partitions.
pub(super) type Topics = BTreeMap<Arc<str>, u32>;

/// Every group of a bus.
#[derive(Default)]
pub(super) struct Groups {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    topics: Topics,
    groups: HashMap<GroupKey, Group>,
    members_ever: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum GroupKey {
    Named(String),
    /// A consumer that reads everything, whatever others do: a group of its own.
    Alone(u64),
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u64, MemberState>,
    owners: BTreeMap<TopicPartition, Owner>,
}

struct MemberState {
    topics: Vec<Arc<str>>,
    changes: VecDeque<Change>,
    wake: Arc<Notify>,
}

#[derive(Clone, Copy)]
struct Owner {
    member: u64,
    revoking: bool,
}

/// What a member is to be told.
pub(super) enum Change {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>, Revocation),
}

impl Groups {
    /// Looks which topics there are now; partitions of those that are gone are lost to their owners. The look is taken
    /// under the lock: of two changes at once, the later look wins.
    pub(super) fn refresh(self: &Arc<Self>, topics: impl FnOnce() -> Topics) {
        let mut state = self.state();
        state.topics = topics();
        let keys: Vec<_> = state.groups.keys().cloned().collect();
        for key in keys {
            self.rebalance(&mut state, &key);
        }
    }

    /// Adds a member; `group` is `None` for one that reads everything by itself.
    pub(super) fn join(self: &Arc<Self>, group: Option<String>, topics: Vec<Arc<str>>) -> Member {
        let mut state = self.state();
        state.members_ever += 1;
        let id = state.members_ever;
        let key = group.map_or(GroupKey::Alone(id), GroupKey::Named);
        let wake = Arc::new(Notify::new());
        let member = MemberState { topics, changes: VecDeque::new(), wake: wake.clone() };
        state.groups.entry(key.clone()).or_default().members.insert(id, member);
        self.rebalance(&mut state, &key);
        drop(state);
        Member { groups: self.clone(), key, id, wake }
    }

    fn rebalance(self: &Arc<Self>, state: &mut State, key: &GroupKey) {
        let State { topics, groups, .. } = state;
        let Some(group) = groups.get_mut(key) else { return };
        let target = division(topics, &group.members);

        let mut revoked: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        let mut lost: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        group.owners.retain(|partition, owner| match target.get(partition) {
            None => {
                lost.entry(owner.member).or_default().push(partition.clone());
                false
            }
            Some(next) if *next == owner.member || owner.revoking => true,
            Some(_) => {
                owner.revoking = true;
                revoked.entry(owner.member).or_default().push(partition.clone());
                true
            }
        });
        let mut assigned: BTreeMap<u64, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, member) in target {
            if !group.owners.contains_key(&partition) {
                group.owners.insert(partition.clone(), Owner { member, revoking: false });
                assigned.entry(member).or_default().push(partition);
            }
        }
        for (id, partitions) in lost {
            group.tell(id, Change::Revoked(partitions, Revocation::new(true, || {})));
        }
        for (id, partitions) in revoked {
            let (groups, key, released) = (self.clone(), key.clone(), partitions.clone());
            let revocation = Revocation::new(false, move || groups.release(&key, id, &released));
            group.tell(id, Change::Revoked(partitions, revocation));
        }
        for (id, partitions) in assigned {
            group.tell(id, Change::Assigned(partitions));
        }
    }

    fn release(self: &Arc<Self>, key: &GroupKey, member: u64, partitions: &[TopicPartition]) {
        let mut state = self.state();
        if let Some(group) = state.groups.get_mut(key) {
            group.owners.retain(|partition, owner| {
                !(owner.member == member && owner.revoking && partitions.contains(partition))
            });
        }
        self.rebalance(&mut state, key);
    }

    fn leave(self: &Arc<Self>, key: &GroupKey, id: u64) {
        let mut state = self.state();
        let Some(group) = state.groups.get_mut(key) else { return };
        let left = group.members.remove(&id);
        group.owners.retain(|_, owner| owner.member != id);
        if group.members.is_empty() {
            state.groups.remove(key);
        } else {
            self.rebalance(&mut state, key);
        }
        drop(state);
        // Revocations that nobody took call back into the groups when they are dropped: not under the lock.
        drop(left);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn tell(&mut self, member: u64, change: Change) {
        if let Some(member) = self.members.get_mut(&member) {
            member.changes.push_back(change);
            member.wake.notify_one();
        }
    }
}

/// Who should own which partition: each topic's partitions dealt in turn to the members that read it.
fn division(topics: &Topics, members: &BTreeMap<u64, MemberState>) -> BTreeMap<TopicPartition, u64> {
    let mut target = BTreeMap::new();
    for (topic, partitions) in topics {
        let readers: Vec<u64> =
            members.iter().filter(|(_, member)| member.topics.contains(topic)).map(|(id, _)| *id).collect();
        for (partition, reader) in (0..*partitions).zip(readers.iter().cycle()) {
            target.insert(TopicPartition::new(topic.clone(), partition), *reader);
        }
    }
    target
}

/// A place in a group; dropping it leaves the group.
pub(super) struct Member {
    groups: Arc<Groups>,
    key: GroupKey,
    id: u64,
    wake: Arc<Notify>,
}

impl Member {
    /// The next thing this member is to be told.
    pub(super) fn change(&self) -> Option<Change> {
        let mut state = self.groups.state();
        state.groups.get_mut(&self.key)?.members.get_mut(&self.id)?.changes.pop_front()
    }

    /// Resolves when there may be something to be told.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.groups.leave(&self.key, self.id);
    }
}
