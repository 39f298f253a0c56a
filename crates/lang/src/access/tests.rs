use proptest::prelude::*;

use super::*;

fn rules(own: &[(&str, &str)]) -> Result<Rules, Vec<RulesError>> {
    Rules::new(own.iter().map(|(name, text)| ((*name).to_owned(), RuleText::parse(text).unwrap())).collect())
}

/// Whether a rule of this text lets `asker` act.
fn holds(text: &str, asker: &Asker<'_>, target: &Target<'_>) -> bool {
    rules(&[("get status", text)]).unwrap().allow(Rule::GetStatus, asker, target)
}

#[test]
fn every_shipped_rule_is_understood() {
    let shipped = Rules::new(BTreeMap::new()).unwrap();
    assert_eq!(shipped, *Rules::shipped());
    assert_eq!(shipped.iter().count(), Rule::ALL.len());
    for rule in Rule::ALL {
        assert_eq!(Rule::named(rule.name()), Some(*rule));
    }
}

#[test]
fn checks_are_joined_as_oslo_policy_joins_them() {
    let roles = ["Admin".to_owned(), "reader".to_owned()];
    let asker = Asker { creator: Some("u:p"), user_id: Some("u"), project_id: Some("p"), roles: &roles };
    let target = Target { creator: Some("v:p"), project_id: Some("q"), user_id: Some("u") };
    for (text, expected) in [
        ("", true),
        ("@", true),
        ("!", false),
        ("not !", true),
        ("not not @", true),
        ("role:admin", true),
        ("role:ADMIN", true),
        ("role:member", false),
        ("roles:reader", true),
        ("user:%(creator)s", false),
        ("user_id:%(user_id)s", true),
        ("user_id:%(target.user_id)s", true),
        ("user_id:u", true),
        ("project_id:%(project_id)s", false),
        ("project_id:%(created_by_project_id)s", true),
        ("tenant:%(resource.created_by_project_id)s", true),
        ("'v':%(created_by_user_id)s", true),
        ("\"q\":%(project_id)s", true),
        ("user:%(user_id)s:%(created_by_project_id)s", true),
        ("True:True", true),
        ("! or @ and !", false),
        ("@ or @ and !", true),
        ("(@ or @) and !", false),
        ("not ! and !", false),
        ("not (! and !)", true),
        ("NOT role:x AND (role:admin OR !)", true),
        ("((role:admin))", true),
        ("( role:admin )", true),
        ("rule:context_is_admin and not rule:segregation", false),
    ] {
        assert_eq!(holds(text, &asker, &target), expected, "{text}");
    }
}

#[test]
fn nothing_equals_nothing_is_never_true() {
    let (asker, target) = (Asker::default(), Target::default());
    let empty = (
        Asker { creator: Some(""), user_id: Some(""), project_id: Some(""), roles: &[] },
        Target { creator: Some("v"), project_id: Some(""), user_id: None },
    );
    for text in ["project_id:%(project_id)s", "user:%(creator)s", "project_id:%(created_by_project_id)s"] {
        assert!(!holds(text, &asker, &target), "{text}");
        assert!(!holds(text, &empty.0, &empty.1), "{text}");
    }
}

#[test]
fn faults_say_where_they_are() {
    let deep = "(".repeat(40) + "@" + &")".repeat(40);
    for (text, offset, part) in [
        ("role", 0, "is no check"),
        ("role:", 0, "is no check"),
        (":x", 0, "is no check"),
        ("role:a role:b", 7, "expected \"and\" or \"or\""),
        ("role:a and", 10, "found the end"),
        ("role:a and or @", 11, "expected a check"),
        ("(role:a", 0, "not closed"),
        ("role:a)", 6, "was not opened"),
        ("()", 1, "expected a check"),
        ("role:a or http://x/y", 10, "not supported"),
        ("domain:x", 0, "a caller has no \"domain\""),
        ("project_id:%(nothing)s", 13, "a target has no \"nothing\""),
        ("project_id:%(project_id)", 11, "expected %(attribute)s"),
        ("project_id:%d", 11, "expected %(attribute)s"),
        (&deep, 32, "nested deeper"),
        (&"x".repeat(20_000), 16_384, "longer than"),
    ] {
        let error = RuleText::parse(text).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.offset, offset, "{text}: {error}");
    }
}

#[test]
fn rules_of_ones_own_must_be_of_use_and_lead_somewhere() {
    let named = |result: Result<Rules, Vec<RulesError>>| {
        let faults = result.unwrap_err().into_iter().map(|fault| fault.rule);
        faults.collect::<Vec<_>>()
    };
    assert!(rules(&[("ops", "role:ops"), ("get status", "rule:ops")]).is_ok());
    assert_eq!(named(rules(&[("get metrik", "@")])), ["get metrik"]);
    assert_eq!(named(rules(&[("get metric", "rule:nobody or @")])), ["get metric"]);
    assert_eq!(named(rules(&[("creator", "rule:creator")])), ["creator"]);
    let two = [("a", "rule:b"), ("b", "not rule:a"), ("get metric", "rule:a")];
    assert_eq!(named(rules(&two)), ["a", "b"]);
}

#[test]
fn lists_are_alternatives_of_what_must_hold_together() {
    let part = |text: &str| RuleText::parse(text).unwrap();
    let list = RuleText::any_of(&[vec![part("role:admin")], vec![part("role:a"), part("role:b or role:c")]]);
    assert_eq!(list.text, "role:admin or ((role:a) and (role:b or role:c))");
    let rules = Rules::new([("get status".to_owned(), list)].into()).unwrap();
    for (roles, expected) in [(&["admin"][..], true), (&["a"], false), (&["a", "c"], true)] {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let asker = Asker { roles: &roles, ..Asker::default() };
        assert_eq!(rules.allow(Rule::GetStatus, &asker, &Target::default()), expected, "{roles:?}");
    }
    assert_eq!(RuleText::any_of(&[]).check, Check::Always);
}

/// A check and whether it holds for a caller with the role `yes` and no other.
fn any_check() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        Just(("@".to_owned(), true)),
        Just(("!".to_owned(), false)),
        Just(("role:yes".to_owned(), true)),
        Just(("role:no".to_owned(), false)),
        Just(("'x':%(creator)s".to_owned(), false)),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..4);
        let joined = |word: &'static str| {
            move |parts: Vec<(String, bool)>| {
                let text = parts.iter().map(|(text, _)| format!("({text})")).collect::<Vec<_>>().join(word);
                let holds = if word == " and " {
                    parts.iter().all(|(_, holds)| *holds)
                } else {
                    parts.iter().any(|(_, holds)| *holds)
                };
                (text, holds)
            }
        };
        prop_oneof![
            list.clone().prop_map(joined(" and ")),
            list.prop_map(joined(" or ")),
            inner.prop_map(|(text, holds)| (format!("not ({text})"), !holds)),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_what_holds((text, expected) in any_check()) {
        let roles = ["yes".to_owned()];
        let asker = Asker { roles: &roles, ..Asker::default() };
        prop_assert_eq!(holds(&text, &asker, &Target::default()), expected);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_inside_it(text in any::<String>()) {
        if let Err(error) = RuleText::parse(&text) {
            prop_assert!(error.offset <= text.len());
        }
    }

    #[test]
    fn any_mangled_rule_is_read_or_refused(
        (text, _) in any_check(),
        place in any::<prop::sample::Index>(),
        put in "[()%':@! a-z]{0,4}",
    ) {
        let mut mangled = text;
        let place = place.index(mangled.len() + 1);
        if mangled.is_char_boundary(place) {
            mangled.insert_str(place, &put);
        }
        if let Err(error) = RuleText::parse(&mangled) {
            prop_assert!(error.offset <= mangled.len());
        }
    }
}
