//! One suite for every broker: each case is written once and runs against the broker in memory, in paused time, and
//! against a real nats-server. A case may wait long for what must happen, and never relies on how soon it does.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets an error has failed")]

#[path = "conformance/bucket.rs"]
mod bucket;
#[path = "conformance/gone.rs"]
mod gone;
#[path = "conformance/lease.rs"]
mod lease;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/live.rs"]
mod live;
#[path = "conformance/objects.rs"]
mod objects;
#[path = "conformance/outage.rs"]
mod outage;
#[path = "conformance/read.rs"]
mod read;
#[path = "conformance/sharing.rs"]
mod sharing;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/support.rs"]
mod support;

/// Makes two tests of every case: of a broker, or of a whole world in which the broker is troubled.
macro_rules! conformance {
    (worlds { $($trouble:ident { $($hard:ident)* })* } $($group:ident { $($case:ident)* })*) => {
        mod memory {
            $($(
                #[tokio::test(start_paused = true)]
                async fn $hard() {
                    crate::$trouble::$hard(&mut crate::support::memory_broker()).await;
                }
            )*)*
            $($(
                #[tokio::test(start_paused = true)]
                async fn $case() {
                    let world = crate::support::memory_broker();
                    crate::$group::$case(&*world.broker).await;
                }
            )*)*
        }

        mod jetstream {
            $($(
                #[tokio::test]
                async fn $hard() {
                    crate::$trouble::$hard(&mut crate::support::jetstream_broker().await).await;
                }
            )*)*
            $($(
                #[tokio::test]
                async fn $case() {
                    let world = crate::support::jetstream_broker().await;
                    crate::$group::$case(&*world.broker).await;
                }
            )*)*
        }
    };
}

conformance! {
    worlds {
        outage {
            leases_and_their_counts_outlive_a_restart
            a_lease_from_before_a_restart_can_be_settled
            a_restart_forgets_the_ids_of_what_is_done
            a_stream_in_memory_is_empty_after_a_restart
            a_subscription_goes_on_after_a_restart
            a_bucket_in_memory_is_empty_after_a_restart
            what_is_sent_to_a_frozen_broker_arrives_when_it_goes_on
        }
        gone {
            a_deleted_consumer_is_made_anew_and_counts_from_one
            a_lease_of_a_deleted_consumer_settles_nothing_before_it_is_delivered_anew
            a_lease_of_a_deleted_consumer_settles_what_was_delivered_anew
            a_deleted_stream_is_made_anew_and_knows_nothing
            a_deleted_stream_has_nothing_to_take_away
            what_is_only_sent_makes_no_stream_anew
            a_waiting_pull_goes_on_when_its_consumer_is_deleted
        }
        objects {
            an_object_comes_back_as_it_was_written
            an_object_is_read_from_any_place
            what_is_not_finished_is_never_seen_and_leaves_nothing
            a_later_object_takes_the_place_of_an_earlier
            a_deleted_object_is_gone
            a_full_store_refuses_and_forgets_nothing
            an_object_ages_out
            objects_outlive_a_restart
        }
    }
    lease {
        an_acked_message_is_gone
        an_unsettled_message_comes_again_with_a_higher_count
        a_message_given_back_comes_again_after_its_delay_and_not_before
        a_message_given_back_without_delay_comes_again_at_once
        a_rejected_message_never_comes_again
        a_renewed_lease_does_not_lapse
        a_late_ack_of_a_lapsed_lease_removes_the_message
        settling_twice_is_no_error
        stored_at_is_sane_and_stays_over_redelivery
        a_lease_tells_how_many_wait_behind_it
        first_deliveries_come_in_order
    }
    sharing {
        handles_of_one_name_share_the_messages
        no_more_than_ack_pending_max_are_leased
        a_delayed_message_keeps_its_place_among_the_leases
        a_pull_never_returns_more_than_its_credit
        a_pull_that_is_dropped_loses_nothing
        a_closed_consumer_gives_back_what_it_did_not_return
        a_consumer_gets_what_was_stored_before_it
        consumers_take_what_matches_their_filter
        a_waiting_pull_wakes_when_a_message_comes
        a_queue_has_room_for_more_than_a_thousand_consumers
        overlapping_filters_of_a_work_queue_are_refused
        a_consumer_of_a_missing_stream_is_not_found
        on_a_stream_of_limits_every_consumer_gets_every_message
    }
    limits {
        a_repeated_id_is_stored_once
        a_repeated_id_is_known_after_the_first_was_acked
        an_id_is_forgotten_after_its_window
        a_refused_message_burns_no_id
        a_stream_full_of_messages_refuses_one_more
        a_stream_full_of_bytes_refuses_one_more
        a_stream_that_discards_old_takes_one_more
        the_first_message_of_a_subject_stands
        what_is_stored_only_as_the_first_is_heard_and_not_stored_behind_another
        a_repeat_of_the_first_message_is_a_duplicate_and_no_conflict
        a_subject_is_free_again_when_its_message_has_aged_out
        a_message_over_the_limit_is_too_large
        a_subject_that_no_stream_takes_is_not_found
        a_subject_with_wildcards_or_blanks_is_invalid
    }
    live {
        a_subscriber_hears_what_its_own_handle_sends_in_order
        patterns_hear_what_they_match
        every_subscriber_hears_every_message
        what_is_sent_into_a_stream_is_kept
        what_is_published_is_heard
        what_a_stream_refuses_is_heard_all_the_same
        a_closed_broker_refuses_everything
        a_broker_says_what_it_is
    }
    read {
        the_last_message_of_a_subject_is_found
        a_replay_gives_one_subject_in_order
        a_replay_of_a_pattern_gives_all_its_subjects_in_order
        a_replay_starts_where_it_is_told
        what_is_newer_than_a_time_is_found
        a_long_replay_is_complete
        a_removed_message_is_gone
        a_trimmed_stream_has_lost_its_oldest_messages
        what_is_not_there_is_not_found
        the_next_message_of_a_subject_is_found
        a_purged_subject_is_empty
        subjects_are_counted_until_their_messages_are_done
        what_is_stored_rings
        headers_come_back_as_they_were
        empty_and_large_bodies_come_back_as_they_were
    }
    bucket {
        a_value_comes_back_with_its_revision
        a_key_is_created_once
        an_update_needs_the_current_revision
        a_deleted_key_has_no_value_and_can_be_created_again
        keys_with_a_value_are_listed
        changes_are_told_from_a_revision_on
        a_value_ages_out
        handles_of_one_bucket_share_it
    }
    streams {
        ensuring_twice_changes_nothing
        limits_follow_what_is_ensured
        a_stream_with_a_weaker_promise_is_refused
        streams_never_share_a_subject
    }
}
