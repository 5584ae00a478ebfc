"""What one writes in an afternoon: reads enrolments from Kafka, keeps the newest fact of each learner and course, counts
what holds, awards at a threshold; one transaction for 500 events, then the offsets.

Prints how many events a second it wrote, from the first commit to the last."""

import json
import sys
import time

import psycopg2
from confluent_kafka import Consumer

BATCH = 500

TABLES = """
CREATE TABLE fact (learner bigint, course text, active bool NOT NULL, prev bool NOT NULL DEFAULT false,
  at timestamptz NOT NULL, event text NOT NULL, PRIMARY KEY (learner, course));
CREATE TABLE learner (id bigint PRIMARY KEY, enrolled int NOT NULL);
CREATE TABLE award (learner bigint PRIMARY KEY);
"""
FACT = """
INSERT INTO fact AS f (learner, course, active, at, event) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (learner, course) DO UPDATE
SET prev = f.active, active = excluded.active, at = excluded.at, event = excluded.event
WHERE (excluded.at, excluded.event) > (f.at, f.event)
RETURNING active::int - prev::int
"""
COUNT = """
INSERT INTO learner AS l VALUES (%s, %s)
ON CONFLICT (id) DO UPDATE SET enrolled = l.enrolled + excluded.enrolled
RETURNING enrolled
"""
AWARD = "INSERT INTO award VALUES (%s) ON CONFLICT DO NOTHING"


def merge(cursor, event, threshold):
    data = event["data"]
    learner = data["user"]["id"]
    cursor.execute(FACT, (learner, data["course"]["id"], data["is_active"], event["time"], event["id"]))
    merged = cursor.fetchone()
    if merged is None or merged[0] == 0:
        return
    cursor.execute(COUNT, (learner, merged[0]))
    if cursor.fetchone()[0] >= threshold:
        cursor.execute(AWARD, (learner,))


def main(bootstrap, topic, url, events, threshold):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic + "-plain-" + url[-8:],
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    connection = psycopg2.connect(url)
    cursor = connection.cursor()
    cursor.execute(TABLES)
    written, first = 0, None
    while written < events:
        records = consumer.consume(BATCH, timeout=1)
        for record in records:
            if record.error():
                raise SystemExit(str(record.error()))
            merge(cursor, json.loads(record.value()), threshold)
        connection.commit()
        if records:
            consumer.commit(asynchronous=False)
            written += len(records)
            first = first or (time.monotonic(), written)
    print((written - first[1]) / (time.monotonic() - first[0]))
    consumer.close()


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
