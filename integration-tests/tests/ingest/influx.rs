//! InfluxDB's line protocol, as Telegraf speaks it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{client, killed_and_back, start, values};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_telegraf_sends_is_durable_when_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut nephos = start(folder.path(), &[]);
    let api = client(&nephos).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let create = b"q=CREATE+DATABASE+%22telegraf%22".to_vec();
    api.post_bytes("/v1/influxdb/query", &form, create).await.expect(204);
    let lines = "cpu,cpu=cpu-total,host=web usage_idle=97.5,usage_user=1i 1500000000000000000\n\
        cpu,cpu=cpu-total,host=web usage_idle=96.5,usage_user=2i 1500000010000000000\n\
        disk,host=web,path=/var used=5u,fstype=\"ext4\",ro=false 1500000000000000000\n";
    let packed = [("content-type", "text/plain; charset=utf-8"), ("content-encoding", "gzip")];
    let path = "/v1/influxdb/write?db=telegraf";
    assert_eq!(api.post_bytes(path, &packed, gzip(lines)).await.expect(204).text, "");
    let api = killed_and_back(&mut nephos).await;
    assert_eq!(values(&api, "web", "cpu.usage_idle@cpu=cpu-total").await, [97.5, 96.5]);
    assert_eq!(values(&api, "web", "cpu.usage_user@cpu=cpu-total").await, [1.0, 2.0]);
    assert_eq!(values(&api, "web", "disk.used@path=_var").await, [5.0]);
    assert_eq!(values(&api, "web", "disk.ro@path=_var").await, [0.0]);
    assert_eq!(api.get("/v1/resource/telegraf/web").await.expect(200).json()["type"], "telegraf");
}

#[tokio::test]
async fn a_body_in_chunks_may_be_longer_than_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let nephos = start(folder.path(), &[("NEPHOS__API__MAX_BODY", "1MiB")]);
    let api = client(&nephos).await;
    api.post_bytes("/v1/influxdb/query?q=create+database+d", &[], Vec::new()).await.expect(204);
    const LINES: usize = 60_000;
    let lines: String = (0..LINES)
        .map(|line| {
            format!(
                "m,host=h{} x={line},s=\"some text that is passed over\" {}000000000\n",
                line % 7,
                1_500_000_000 + line
            )
        })
        .collect();
    assert!(lines.len() > 3 << 20);
    let address = api.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/influxdb/write?db=d HTTP/1.1\r\nhost: {address}\r\nauthorization: basic YWRtaW46\r\n\
         transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Chunks that end within lines.
    for chunk in lines.as_bytes().chunks(9_973) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await.unwrap();
        stream.write_all(chunk).await.unwrap();
        stream.write_all(b"\r\n").await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let mut found = 0;
    for host in 0..7 {
        found += values(&api, &format!("h{host}"), "m.x").await.len();
    }
    assert_eq!(found, LINES);
}
