//! What the index promises, on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "contract/accounts.rs"]
mod accounts;
#[path = "contract/alarms.rs"]
mod alarms;
#[path = "contract/created.rs"]
mod created;
#[path = "contract/creation.rs"]
mod creation;
#[path = "contract/ensure.rs"]
mod ensure;
#[path = "contract/fixture.rs"]
mod fixture;
#[path = "contract/known.rs"]
mod known;
#[path = "contract/metrics.rs"]
mod metrics;
#[path = "contract/outbox.rs"]
mod outbox;
#[path = "contract/paging.rs"]
mod paging;
#[path = "contract/plans.rs"]
mod plans;
#[path = "contract/policies.rs"]
mod policies;
#[path = "contract/resources.rs"]
mod resources;
#[path = "contract/schema.rs"]
mod schema;
#[path = "contract/search.rs"]
mod search;
#[path = "contract/types.rs"]
mod types;

/// Runs every named behaviour on a fresh index of each database.
macro_rules! suite {
    ($($module:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        mod sqlite {
            $( mod $module { $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let fixture = crate::fixture::Fixture::sqlite().await;
                    crate::$module::$name(&fixture).await;
                }
            )+ } )+
        }
        mod postgres {
            $( mod $module { $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let fixture = crate::fixture::Fixture::postgres().await;
                    crate::$module::$name(&fixture).await;
                }
            )+ } )+
        }
    };
}

suite! {
    policies:
        policies_come_back_whole_and_in_order,
        a_policy_name_is_taken_once,
        only_points_and_back_window_change,
        policies_in_use_stay,
        rules_match_in_descending_byte_order,
        rules_are_created_renamed_and_deleted,
        other_processes_see_changes_within_a_second,
        defaults_are_created_once_by_any_number_of_processes,
        defaults_leave_policies_alone_where_there_are_some,
        an_unmigrated_database_is_refused;
    types:
        types_come_back_whole_and_in_order,
        types_in_use_and_generic_stay,
        filled_attributes_reach_resources_and_history,
        removed_attributes_leave_resources_and_history,
        impossible_changes_leave_the_type_as_it_was;
    metrics:
        a_metric_gets_another_policy,
        metrics_are_created_found_and_filtered,
        missing_references_are_named,
        names_are_unique_among_live_metrics_of_a_resource,
        deleted_metrics_are_hidden_and_wait_for_their_expunging,
        policies_deleted_by_others_are_noticed,
        racing_creators_of_one_name_have_one_winner,
        a_project_sees_its_own_metrics_and_those_of_its_resources,
        a_project_with_many_metrics_sees_them_in_pages;
    known:
        known_metrics_are_told_in_the_order_asked_for,
        what_this_process_changes_shows_at_once,
        what_others_change_shows_within_a_second,
        metrics_are_known_by_their_places,
        a_change_that_commits_after_others_were_seen_is_not_missed,
        changes_are_kept_for_an_hour,
        without_a_database_nothing_is_claimed_to_be_known_for_long;
    resources:
        resources_are_created_with_their_metrics,
        creation_errors_leave_nothing_behind,
        ids_are_unique_across_types,
        a_type_is_part_of_the_address,
        changes_make_revisions_and_no_changes_none,
        revisions_never_overlap_when_the_clock_goes_back,
        metrics_of_a_resource_are_replaced_without_a_revision,
        metrics_of_a_resource_are_appended,
        failed_updates_change_nothing,
        deletion_takes_metrics_and_history_along,
        racing_updates_all_become_revisions,
        old_revisions_expire_the_oldest_first,
        everything_survives_reopening;
    creation:
        creations_at_the_same_time_share_transactions,
        a_bad_creation_harms_no_neighbour,
        twins_have_one_winner,
        creators_who_go_away_take_nobody_along,
        others_see_all_or_nothing_and_all_that_was_answered;
    created:
        what_was_created_here_is_known_without_a_statement,
        what_was_created_here_is_known_by_its_place,
        what_was_created_long_ago_is_still_followed,
        what_is_created_while_its_resource_changes_hands_is_of_the_new_project,
        whatever_happens_at_once_memory_tells_what_the_database_has;
    search:
        every_attribute_and_operator_finds,
        unusable_conditions_are_named,
        history_is_searched_by_what_was_true_then,
        searches_come_in_pages,
        found_resources_are_deleted_with_metrics_and_history,
        texts_of_attributes_are_found_whatever_becomes_of_them,
        numbers_of_attributes_are_found_whatever_becomes_of_them,
        a_text_that_many_resources_share_is_found_too;
    ensure:
        what_is_missing_is_created_and_what_is_there_stays,
        existing_resources_get_changed_attributes,
        ended_resources_come_back_to_life,
        one_bad_metric_harms_no_other,
        unknown_types_are_refused,
        doubled_input_is_one_resource_and_one_metric,
        racing_callers_agree_on_every_metric,
        nothing_is_written_when_everything_is_there;
    paging:
        metric_pages_neither_overlap_nor_leave_out,
        resource_pages_neither_overlap_nor_leave_out,
        history_pages_use_revision_markers,
        attributes_of_the_type_sort_by_their_kind,
        text_sorts_by_bytes,
        alarm_pages_neither_overlap_nor_leave_out,
        bad_markers_and_sort_keys_are_named;
    alarms:
        alarms_come_back_whole,
        filters_are_anded,
        severity_sorts_from_least_to_worst,
        updates_and_deletions_need_the_alarm,
        a_state_set_by_hand_leaves_what_was_changed_meanwhile,
        history_is_filtered_and_newest_first,
        due_alarms_are_those_never_evaluated_then_the_oldest,
        evaluations_move_the_alarm_on_and_leave_history_and_notifications,
        evaluations_of_outdated_alarms_write_nothing,
        racing_evaluations_have_one_winner;
    outbox:
        claims_hide_notifications_until_they_run_out,
        settled_notifications_go_wait_or_die,
        dead_notifications_show_in_the_history_without_credentials,
        racing_claimers_never_share_a_notification,
        notifications_go_with_their_alarm;
    accounts:
        accounts_come_back_whole_and_by_name,
        names_are_taken_once_and_changes_need_the_account,
        tokens_are_found_by_their_digest_until_they_are_revoked,
        tokens_go_with_their_account,
        usage_is_counted_by_the_project_of_creators;
    plans:
        hot_statements_use_indexes,
        what_is_listed_in_any_order_is_found_through_an_index;
}
