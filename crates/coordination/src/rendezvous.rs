//! Rendezvous hashing: every process finds the same owner of a key from the same list of members, and when a member
//! comes or goes only its own keys move, or hardly more where all members own the same number.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The member that owns `key`; `None` if there are no members. The order of `members` does not matter.
pub fn owner<'a, S: AsRef<str>>(members: &'a [S], key: &str) -> Option<&'a str> {
    members
        .iter()
        .map(AsRef::as_ref)
        // Of members with equal weight the greater name wins, so that all processes agree.
        .max_by_key(|member| (weight(member, key), *member))
}

/// Whether `me` owns `key` among `members`. A process that is not (yet) a member owns nothing.
pub fn owns<S: AsRef<str>>(me: &str, members: &[S], key: &str) -> bool {
    owner(members, key) == Some(me)
}

/// Which of a few keys `me` owns, by their numbers, where every member is to own as many as the others: of four keys and
/// two members, one would own them all every eighth time otherwise. All processes agree, whatever the order of
/// `members`; when a member comes or goes hardly more than its own keys move. A process that is not (yet) a member owns
/// nothing.
pub fn even_share<S: AsRef<str>, K: AsRef<str>>(me: &str, members: &[S], keys: &[K]) -> BTreeSet<usize> {
    let members: BTreeSet<&str> = members.iter().map(AsRef::as_ref).collect();
    let Some(least) = keys.len().checked_div(members.len()) else { return BTreeSet::new() };
    // So many members own one key more.
    let mut more = keys.len() % members.len();
    let pairs = keys.iter().enumerate().flat_map(|(number, key)| {
        members.iter().map(move |member| (weight(member, key.as_ref()), *member, number))
    });
    let mut pairs: Vec<(u64, &str, usize)> = pairs.collect();
    pairs.sort_unstable_by(|one, other| other.cmp(one));
    let (mut owners, mut owned) = (vec![None; keys.len()], BTreeMap::<&str, usize>::new());
    for (_, member, number) in pairs {
        let (Some(owner), own) = (owners.get_mut(number), owned.entry(member).or_default()) else { continue };
        let is_one_more = *own == least;
        if owner.is_some() || *own > least || is_one_more && more == 0 {
            continue;
        }
        *owner = Some(member);
        *own += 1;
        more -= usize::from(is_one_more);
    }
    (0..).zip(owners).filter(|(_, owner)| *owner == Some(me)).map(|(number, _)| number).collect()
}

fn weight(member: &str, key: &str) -> u64 {
    xxh3_64_with_seed(key.as_bytes(), xxh3_64(member.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("agent-{n}")).collect()
    }

    fn keys() -> impl Iterator<Item = String> {
        (0..10_000).map(|n| format!("resource-{n}"))
    }

    #[test]
    fn nobody_owns_a_key_without_members_and_a_lone_member_owns_all() {
        assert_eq!(owner::<&str>(&[], "k"), None);
        assert!(keys().all(|key| owns("a", &["a"], &key)));
        assert!(!owns("stranger", &["a", "b"], "k"));
    }

    #[test]
    fn every_key_has_exactly_one_owner_whatever_the_order_of_members() {
        let members = members(5);
        let reversed: Vec<String> = members.iter().rev().cloned().collect();
        for key in keys() {
            let owners = members.iter().filter(|me| owns(me, &members, &key)).count();
            assert_eq!(owners, 1, "{key}");
            assert_eq!(owner(&members, &key), owner(&reversed, &key));
        }
    }

    #[test]
    fn shares_are_fair() {
        let members = members(5);
        for member in &members {
            let share = keys().filter(|key| owns(member, &members, key)).count();
            assert!((1_800..=2_200).contains(&share), "{member} has {share} of 10000");
        }
    }

    #[test]
    fn only_the_keys_of_the_member_that_left_move() {
        let before = members(5);
        let after: Vec<String> = before.iter().filter(|member| *member != "agent-2").cloned().collect();
        for key in keys() {
            let old = owner(&before, &key);
            if old != Some("agent-2") {
                assert_eq!(owner(&after, &key), old, "{key}");
            }
        }
    }

    #[test]
    fn owners_never_change_between_versions() {
        // Written down once: a change would make agents of two versions poll the same resource.
        let owners: Vec<&str> = ["0", "1", "instance-00000001", "https://swift.example/v1"]
            .iter()
            .filter_map(|key| owner(&["agent-a", "agent-b", "agent-c"], key))
            .collect();
        assert_eq!(owners, ["agent-a", "agent-b", "agent-b", "agent-a"]);
    }

    /// The members that own keys, by number.
    fn even_owners(members: &[String], keys: &[String]) -> Vec<String> {
        let mut owners = vec![String::new(); keys.len()];
        for me in members {
            for number in even_share(me, members, keys) {
                assert_eq!(owners[number], "", "owned twice");
                owners[number].clone_from(me);
            }
        }
        assert!(members.is_empty() || owners.iter().all(|owner| !owner.is_empty()), "owned by nobody");
        owners
    }

    #[test]
    fn a_few_keys_are_shared_evenly_and_hardly_more_move_than_have_to() {
        let mut moved = 0;
        for (cluster, count) in (0..300).flat_map(|cluster| (0..7).map(move |count| (cluster, count))) {
            let members: Vec<String> = (0..count).map(|n| format!("{cluster}/member-{n}")).collect();
            for shards in [1_usize, 4, 7, 16] {
                let keys: Vec<String> = (0..shards).map(|n| format!("shard-{n:04}")).collect();
                let owners = even_owners(&members, &keys);
                for me in &members {
                    let own = owners.iter().filter(|owner| *owner == me).count();
                    assert!(
                        own == shards / count || own == shards.div_ceil(count),
                        "{own} of {shards} among {count}"
                    );
                }
                let reversed: Vec<String> = members.iter().rev().cloned().collect();
                assert_eq!(even_owners(&reversed, &keys), owners);
                assert!(even_share("stranger", &members, &keys).is_empty());
                if let (16, 4, Some(before)) = (shards, count, members.get(..3)) {
                    let pairs = owners.iter().zip(even_owners(before, &keys));
                    moved += pairs.filter(|(now, then)| *now != then).count();
                }
            }
        }
        // Four of sixteen are those of the member that came.
        assert!((4.0..6.0).contains(&(f64::from(u32::try_from(moved).unwrap()) / 300.0)), "{moved}");
    }
}
