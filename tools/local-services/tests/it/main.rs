//! A broker of a test's own, through its ends and starts.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use local_services::{Error, Kafka, KafkaOptions, answers, own_kafka_for_tests};

fn own(story: &str, folder: &Path) -> Option<Kafka> {
    own_kafka_for_tests(story, KafkaOptions::new(folder).listener("way"))
}

#[test]
fn a_broker_answers_where_it_did_before_however_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut kafka) = own("a broker ends and starts", folder.path()) else { return };
    let (bootstrap, way) = (kafka.bootstrap(), format!("127.0.0.1:{}", kafka.port_of("way")));
    assert!(!answers(&bootstrap), "it was not started");
    assert!(matches!(kafka.pause(), Err(Error::Running { runs: false, .. })));
    kafka.start().unwrap();
    assert!(answers(&bootstrap) && answers(&way));
    kafka.kill().unwrap();
    assert!(!kafka.is_running() && !answers(&bootstrap));
    kafka.start().unwrap();
    assert!(answers(&bootstrap));
    kafka.stop().unwrap();
    assert!(!answers(&bootstrap));
    kafka.start().unwrap();
    assert!(answers(&bootstrap));
}

#[test]
fn what_a_broker_knew_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut kafka) = own("a broker's log is put back", &folder.path().join("kafka")) else { return };
    kafka.start().unwrap();
    let copy = folder.path().join("copy");
    kafka.pause().unwrap();
    kafka.copy_log(&copy).unwrap();
    kafka.resume().unwrap();
    let was: Vec<_> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(was.iter().any(|name| name.to_string_lossy().starts_with("__cluster_metadata")), "{was:?}");
    assert!(matches!(kafka.put_back(&copy), Err(Error::Running { runs: true, .. })));
    kafka.kill().unwrap();
    kafka.put_back(&copy).unwrap();
    kafka.start().unwrap();
    assert!(answers(&kafka.bootstrap()));
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let options = KafkaOptions::new(folder.path()).setting("num.partitions", "many");
    let Some(mut kafka) = own_kafka_for_tests("a broker cannot start", options) else { return };
    let Err(Error::NotUp { within: None, said, .. }) = kafka.start() else { panic!("it started") };
    assert!(said.contains("num.partitions"), "{said}");
    assert!(!kafka.is_running());
}

#[test]
fn a_broker_that_is_left_is_there_for_others_until_it_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let Some(kafka) = own("a broker is left", folder.path()) else { return };
    let mut told = None;
    let left = kafka.start_and_leave(|left| {
        told = Some(left.clone());
        Ok(())
    });
    let left = left.unwrap();
    assert!(answers(&left.bootstrap) && told == Some(left.clone()));
    // One that was stopped cannot end by itself.
    let stopped = Command::new("kill").args(["-s", "STOP", &left.pid.to_string()]).status().unwrap();
    assert!(stopped.success());
    assert!(left.end().unwrap() && !answers(&left.bootstrap));
    // Nothing is done to whoever has its id now.
    assert!(!left.end().unwrap());
}

#[test]
fn a_broker_that_cannot_be_left_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let options = KafkaOptions::new(folder.path()).setting("num.partitions", "many");
    let Some(kafka) = own_kafka_for_tests("a broker cannot be left", options) else { return };
    let (mut told, begun) = (None, Instant::now());
    let failed = kafka.start_and_leave(|left| {
        told = Some(left.clone());
        Ok(())
    });
    let Err(Error::NotUp { within: None, said, .. }) = failed else { panic!("{failed:?}") };
    assert!(said.contains("num.partitions"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30), "its end is seen, and not waited for");
    assert!(!told.unwrap().end().unwrap());

    let Some(kafka) = own("nobody is told of a broker", folder.path()) else { return };
    let bootstrap = kafka.bootstrap();
    let untold = kafka.start_and_leave(|_| Err(Error::Ports(1, 2)));
    assert!(matches!(untold, Err(Error::Ports(1, 2))) && !answers(&bootstrap), "nobody could end it");
}
