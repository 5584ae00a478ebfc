//! A record written byte by byte, for what no client library writes.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::harness::TOPIC;

/// Writes one record to partition 0, with header names that need not be UTF-8. All lengths stay
/// below 64: then every varint is one byte.
///
/// <https://kafka.apache.org/documentation/#messageformat> and Produce version 3 of
/// <https://kafka.apache.org/protocol>.
pub fn write(address: &str, value: &[u8], headers: &[(&[u8], &[u8])]) {
    let mut record = vec![0, 0, 0, zigzag(-1)];
    push(&mut record, value);
    record.push(zigzag(length(headers)));
    for (name, value) in headers {
        push(&mut record, name);
        push(&mut record, value);
    }

    let mut batch = vec![0, 0, 0, 0, 2];
    // Neither the mock broker nor our consumer checks the checksum.
    batch.extend([0; 4]);
    batch.extend(0_i16.to_be_bytes());
    batch.extend(0_i32.to_be_bytes());
    batch.extend([0; 16]);
    batch.extend((-1_i64).to_be_bytes());
    batch.extend((-1_i16).to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.extend(1_i32.to_be_bytes());
    batch.push(zigzag(length(&record)));
    batch.extend(&record);

    let mut request = Vec::new();
    request.extend([0, 0, 0, 3]);
    request.extend(7_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(5000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(i16::try_from(TOPIC.len()).expect("short").to_be_bytes());
    request.extend(TOPIC.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(size(batch.len() + 12));
    request.extend(0_i64.to_be_bytes());
    request.extend(size(batch.len()));
    request.extend(&batch);

    let mut socket = TcpStream::connect(address).expect("the broker listens");
    socket.write_all(&size(request.len())).expect("sent");
    socket.write_all(&request).expect("sent");
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).expect("answered");
}

fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    to.push(zigzag(length(bytes)));
    to.extend(bytes);
}

fn length<T>(items: &[T]) -> i8 {
    i8::try_from(items.len()).expect("short")
}

fn size(length: usize) -> [u8; 4] {
    i32::try_from(length).expect("short").to_be_bytes()
}

fn zigzag(number: i8) -> u8 {
    assert!((-64..64).contains(&number), "a varint of one byte");
    ((number << 1) ^ (number >> 7)).to_be_bytes()[0]
}
