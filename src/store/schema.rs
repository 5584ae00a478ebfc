// @generated from the migrations: one `table!` a table, the columns in their order.

diesel::table! {
    course (id) {
        id -> Integer,
        course_key -> Text,
        display_name -> Text,
        starts_at -> Nullable<Timestamp>,
        ends_at -> Nullable<Timestamp>,
        details_at -> Nullable<Timestamp>,
        details_event -> Nullable<Text>,
        issue_badges -> Bool,
        issue_badges_at -> Nullable<Timestamp>,
        issue_badges_event -> Nullable<Text>,
    }
}

diesel::table! {
    learner (learner_id) {
        learner_id -> BigInt,
        username -> Text,
        username_at -> Nullable<Timestamp>,
        username_event -> Nullable<Text>,
        email -> Nullable<Text>,
        email_at -> Nullable<Timestamp>,
        email_event -> Nullable<Text>,
        full_name -> Nullable<Text>,
        full_name_at -> Nullable<Timestamp>,
        full_name_event -> Nullable<Text>,
        enrolled -> Integer,
        completed -> Integer,
        next_seq -> BigInt,
        retired_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    learner_course (learner_id, course_id) {
        learner_id -> BigInt,
        course_id -> Integer,
        enrolled -> Nullable<Bool>,
        enrolled_mode -> Nullable<Text>,
        enrolled_at -> Nullable<Timestamp>,
        enrolled_event -> Nullable<Text>,
        passed -> Nullable<Bool>,
        passed_mode -> Nullable<Text>,
        passed_at -> Nullable<Timestamp>,
        passed_event -> Nullable<Text>,
        evidence_url -> Nullable<Text>,
    }
}

diesel::table! {
    badge_class (id) {
        id -> Integer,
        public_id -> Text,
        slug -> Text,
        issuing_component -> Text,
        course_id -> Text,
        mode -> Text,
        display_name -> Text,
        description -> Text,
        criteria -> Text,
        image -> Binary,
        created_at -> Timestamp,
        backend -> Nullable<Text>,
        backend_id -> Nullable<Text>,
        backend_image_url -> Nullable<Text>,
        making_token -> BigInt,
        making_until -> Nullable<Timestamp>,
        making_uncertain -> Bool,
    }
}

diesel::table! {
    event_badges_configuration (id) {
        id -> Integer,
        created_at -> Timestamp,
        changed_by -> Text,
        courses_enrolled -> Text,
        courses_completed -> Text,
        course_groups -> Text,
        enabled -> Bool,
        activated_at -> Nullable<Timestamp>,
        backfill_cursor -> Nullable<BigInt>,
        backfill_done_at -> Nullable<Timestamp>,
        backfill_token -> BigInt,
        backfill_until -> Nullable<Timestamp>,
        backfill_tally -> Nullable<Text>,
    }
}

diesel::table! {
    completion_image (mode) {
        mode -> Text,
        icon -> Binary,
        is_default -> Bool,
    }
}

diesel::table! {
    award (learner_id, id) {
        learner_id -> BigInt,
        id -> Text,
        badge_class_id -> Integer,
        idempotency_key -> Text,
        rule -> Text,
        by_backfill -> Bool,
        threshold -> Nullable<Integer>,
        rule_count -> Nullable<Integer>,
        configuration_id -> Nullable<Integer>,
        event_id -> Nullable<Text>,
        event_time -> Nullable<Timestamp>,
        evidence_url -> Nullable<Text>,
        state -> Text,
        state_reason -> Nullable<Text>,
        attempts -> Integer,
        posted -> Bool,
        lease_token -> BigInt,
        lease_until -> Nullable<Timestamp>,
        next_attempt_at -> Timestamp,
        first_post_at -> Nullable<Timestamp>,
        recipient -> Nullable<Text>,
        last_error -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    assertion (learner_id, award_id) {
        learner_id -> BigInt,
        award_id -> Text,
        id -> Text,
        badge_class_id -> Integer,
        backend -> Text,
        backend_id -> Nullable<Text>,
        image_url -> Text,
        assertion_url -> Text,
        evidence_url -> Nullable<Text>,
        issuer -> Text,
        recipient_salt -> Nullable<Text>,
        recipient_hash -> Nullable<Text>,
        data -> Text,
        created_at -> Timestamp,
        revoked_at -> Nullable<Timestamp>,
        revocation_reason -> Nullable<Text>,
    }
}

diesel::table! {
    outbox (learner_id, seq) {
        learner_id -> BigInt,
        seq -> BigInt,
        event_id -> Text,
        event_type -> Text,
        award_id -> Text,
        payload -> Text,
        created_at -> Timestamp,
        event_time -> Nullable<Timestamp>,
        published_at -> Nullable<Timestamp>,
        lease_token -> BigInt,
        lease_until -> Nullable<Timestamp>,
        parked_reason -> Nullable<Text>,
    }
}

diesel::table! {
    revocation (learner_id, award_id) {
        learner_id -> BigInt,
        award_id -> Text,
        reason -> Text,
        created_at -> Timestamp,
        attempts -> Integer,
        next_attempt_at -> Timestamp,
        lease_token -> BigInt,
        last_error -> Nullable<Text>,
        by_loss -> Bool,
    }
}

diesel::table! {
    dead_letter (id) {
        id -> BigInt,
        topic -> Text,
        record_partition -> Integer,
        record_offset -> BigInt,
        record_time -> Nullable<Timestamp>,
        record_key -> Nullable<Binary>,
        record_value -> Nullable<Binary>,
        headers -> Text,
        reason -> Text,
        message -> Text,
        created_at -> Timestamp,
        published_at -> Nullable<Timestamp>,
        lease_token -> BigInt,
        lease_until -> Nullable<Timestamp>,
        replays -> Integer,
        replayed_at -> Nullable<Timestamp>,
        dropped_at -> Nullable<Timestamp>,
        erased_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    consumer_position (topic, record_partition) {
        topic -> Text,
        record_partition -> Integer,
        next_offset -> BigInt,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    consumer_resume (id) {
        id -> Integer,
        resumed -> BigInt,
        paused -> Bool,
    }
}

diesel::table! {
    token_cache (cache_key) {
        cache_key -> Text,
        tokens -> Nullable<Binary>,
        version -> BigInt,
        lease_token -> BigInt,
        lease_until -> Nullable<Timestamp>,
        not_before -> Nullable<Timestamp>,
    }
}

diesel::table! {
    comparison (backend) {
        backend -> Text,
        due_at -> Timestamp,
        lease_token -> BigInt,
        lease_until -> Nullable<Timestamp>,
    }
}

diesel::table! {
    audit (id) {
        id -> BigInt,
        created_at -> Timestamp,
        actor -> Text,
        via -> Text,
        action -> Text,
        target -> Text,
        details -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    course,
    learner,
    learner_course,
    badge_class,
    event_badges_configuration,
    completion_image,
    award,
    assertion,
    outbox,
    revocation,
    dead_letter,
    consumer_position,
    consumer_resume,
    token_cache,
    comparison,
    audit,
);
