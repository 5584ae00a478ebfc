//! Facts that are there beforehand, written by the databases themselves, and the counters that follow from them.
//!
//! Facts are a query of `k` (a thousand times the learner, plus the course), `e` (enrolled), `p` (passed) and `t` (when), in
//! the order in which they are to lie. Courses are numbered from one, as in `course-v1:edX+C1+2026`.

use crate::harness::database::Database;
use crate::harness::postgres::Postgres;

/// So many courses, learners and these facts in PostgreSQL.
pub fn postgres(database: &Database, courses: u64, learners: u64, facts: &str) {
    let all = [
        "SET synchronous_commit = off; SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'",
        &format!(
            "INSERT INTO course (course_key) SELECT 'course-v1:edX+C' || c || '+2026' \
             FROM generate_series(1, {courses}) c ORDER BY c"
        ),
        "ALTER TABLE learner_course DROP CONSTRAINT learner_course_pkey; DROP INDEX learner_course_passed",
        &insert_facts(facts),
        "ALTER TABLE learner_course ADD PRIMARY KEY (learner_id, course_id)",
        "CREATE INDEX learner_course_passed ON learner_course (course_id, learner_id) WHERE passed",
        &insert_learners(&format!("generate_series(1, {learners}) l")),
    ];
    database.change(&all.join(";\n"));
    database.change("VACUUM ANALYZE learner_course");
    database.change("VACUUM ANALYZE learner");
}

/// The same in SQLite.
pub fn sqlite(database: &Database, courses: u64, learners: u64, facts: &str) {
    let all = [
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000; BEGIN",
        &format!(
            "INSERT INTO course (course_key) SELECT 'course-v1:edX+C' || c || '+2026' FROM {} ORDER BY c",
            series("c", 1, courses)
        ),
        &insert_facts(facts),
        &insert_learners(&series("l", 1, learners)),
        "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
    ];
    database.change(&all.join(";\n"));
}

pub fn is_sqlite(database: &Database) -> bool {
    database.url().starts_with("sqlite")
}

/// A copy of what it holds, while nobody else is connected to it.
pub fn copy(database: &Database) -> Database {
    if is_sqlite(database) {
        let copy = Database::sqlite();
        let [from, to] = [database, &copy].map(|database| database.url().trim_start_matches("sqlite://"));
        let copied = std::fs::copy(from, to).and_then(|_| std::fs::File::open(to)?.sync_all());
        copied.expect("the file can be copied");
        return copy;
    }
    let (server, original) = database.url().rsplit_once('/').expect("a URL names a database");
    let name = format!("t{}", uuid::Uuid::new_v4().simple());
    // We are: the session that answers what is asked of the database.
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{original}'");
    Postgres::shared().psql("postgres", &sql);
    let sql = format!("CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy");
    Postgres::shared().psql("postgres", &sql);
    Database::by_way_of(&format!("{server}/{name}"))
}

/// A column of this name with the numbers from the first to the last: what SQLite has instead of `generate_series`.
pub fn series(name: &str, first: u64, last: u64) -> String {
    format!(
        "(WITH RECURSIVE numbers({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM numbers \
         WHERE {name} < {last}) SELECT {name} FROM numbers)"
    )
}

fn insert_facts(facts: &str) -> String {
    format!(
        "INSERT INTO learner_course (learner_id, course_id, enrolled, enrolled_mode, enrolled_at, enrolled_event, \
         passed, passed_mode, passed_at, passed_event, evidence_url) \
         SELECT k / 1000, k % 1000, e, 'honor', t, 'e' || k, p, CASE WHEN p THEN 'honor' END, \
         CASE WHEN p THEN t END, CASE WHEN p THEN 'p' || k END, \
         CASE WHEN p THEN 'https://lms.example.com/certificates/' || k END FROM ({facts}) facts"
    )
}

fn insert_learners(series: &str) -> String {
    format!(
        "INSERT INTO learner (learner_id, username, username_at, username_event, email, email_at, email_event, \
         enrolled, completed) SELECT l, 'user' || l, '2026-01-01 00:00:00', 'e' || l, \
         'user' || l || '@example.com', '2026-01-01 00:00:00', 'e' || l, coalesce(e, 0), coalesce(p, 0) \
         FROM {series} LEFT JOIN (SELECT learner_id, count(*) FILTER (WHERE enrolled) AS e, \
         count(*) FILTER (WHERE passed) AS p FROM learner_course GROUP BY 1) f ON f.learner_id = l"
    )
}
