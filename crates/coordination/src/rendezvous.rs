//! Rendezvous hashing: every process finds the same owner of a key from the same list of members, and when a member
//! comes or goes only its own keys move.

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
}
