//! Tests of the tool `weather` against a scripted service.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mayfly_agent::http::Http;
use mayfly_agent::limits::WEATHER_BODY_MAX_BYTES;
use mayfly_agent::tool::weather::Weather;
use mayfly_agent::tool::{Tool, ToolError};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const LONDON: &str = r#"{"results":[{"id":2643743,"name":"London","latitude":51.50853,"longitude":-0.12574,
    "country_code":"GB","country":"United Kingdom","admin1":"England"}],"generationtime_ms":0.5}"#;

const FORECAST: &str = r#"{"latitude":51.5,"longitude":-0.12,"timezone":"Europe/London",
    "current":{"time":"2026-11-23T16:45","interval":900,"temperature_2m":9.4,"apparent_temperature":6.1,
        "relative_humidity_2m":81,"precipitation":0.1,"weather_code":61,"wind_speed_10m":14.2},
    "daily":{"time":["2026-11-23","2026-11-24","2026-11-25"],"weather_code":[61,2,null],
        "temperature_2m_max":[10.9,11.2,8.0],"temperature_2m_min":[5.2,5.1,3.0],
        "precipitation_probability_max":[85,20,null]}}"#;

/// A service with these responses in turn, and the requests it received.
struct Service {
    base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn answering(answers: Vec<(StatusCode, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let answers = Arc::new(Mutex::new(answers.into_iter()));
        let app = Router::new().fallback(move |request: Request| {
            seen.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let answer = answers.lock().unwrap().next();
            async move { answer.unwrap_or((StatusCode::IM_A_TEAPOT, String::new())).into_response() }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base_url, requests }
    }

    async fn ok(answers: &[&str]) -> Self {
        Self::answering(answers.iter().map(|&body| (StatusCode::OK, body.to_owned())).collect()).await
    }

    async fn ask(&self, place: &str) -> Result<Value, ToolError> {
        ask_at(&self.base_url, place).await
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn ask_at(base_url: &str, place: &str) -> Result<Value, ToolError> {
    Weather::new(Http::new(None).unwrap(), Some(base_url), november).call(&json!({ "place": place })).await
}

/// Returns 2026-11-23.
fn november() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_392_000)
}

fn failed(outcome: Result<Value, ToolError>) -> String {
    match outcome {
        Err(ToolError::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_place_is_located_before_its_forecast() {
    let service = Service::ok(&[LONDON, FORECAST]).await;
    let output = service.ask("London").await.unwrap();
    assert_eq!(
        service.requests(),
        [
            "GET /v1/search?name=London&count=1&language=en&format=json",
            "GET /v1/forecast?latitude=51.50853&longitude=-0.12574\
             &current=temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,wind_speed_10m\
             &daily=weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max\
             &timezone=auto&forecast_days=3",
        ]
    );
    assert_eq!(
        output,
        json!({
            "source": "Open-Meteo", "place": "London", "country": "United Kingdom", "time": "2026-11-23T16:45",
            "temperature_c": 9.4, "feels_like_c": 6.1, "humidity_pct": 81.0, "precipitation_mm": 0.1, "wind_kmh": 14.2,
            "condition": "light rain",
            "daily": [
                { "date": "2026-11-23", "condition": "light rain", "high_c": 10.9, "low_c": 5.2, "rain_pct": 85.0 },
                { "date": "2026-11-24", "condition": "partly cloudy", "high_c": 11.2, "low_c": 5.1, "rain_pct": 20.0 },
            ],
        })
    );
}

#[tokio::test]
async fn a_name_is_escaped_in_the_query() {
    let service = Service::ok(&[r#"{"generationtime_ms":0.4}"#]).await;
    let _ = service.ask("S\u{e3}o Paulo & Rio/#?").await;
    let expected =
        "GET /v1/search?name=S%C3%A3o%20Paulo%20%26%20Rio%2F%23%3F&count=1&language=en&format=json";
    assert_eq!(service.requests(), [expected]);
}

#[tokio::test]
async fn a_region_selects_among_places_of_one_name() {
    let paris = r#"{"results":[
        {"name":"Paris","latitude":48.85341,"longitude":2.3488,"country_code":"FR","country":"France"},
        {"name":"Paris","latitude":33.66094,"longitude":-95.55551,"country_code":"US","country":"United States","admin1":"Texas"}]}"#;
    for region in ["Texas", "texas", "USA", "us", "United States"] {
        let service = Service::ok(&[paris, FORECAST]).await;
        let output = service.ask(&format!("Paris, {region}")).await.unwrap();
        assert_eq!(output["country"], "United States", "{region}");
        let requests = service.requests();
        assert_eq!(requests[0], "GET /v1/search?name=Paris&count=10&language=en&format=json");
        assert!(
            requests[1].starts_with("GET /v1/forecast?latitude=33.66094&longitude=-95.55551&"),
            "{requests:?}"
        );
    }
    let service = Service::ok(&[paris, FORECAST]).await;
    assert!(failed(service.ask("Paris, Norway").await).contains("no place called"));
}

#[tokio::test]
async fn an_unknown_place_is_an_error_without_fallback() {
    let service = Service::ok(&[r#"{"generationtime_ms":0.4}"#]).await;
    // Even for a city with climate normals, as the service answered.
    assert_eq!(failed(service.ask("Oslo").await), "no place called \u{201c}Oslo\u{201d} is known");
    assert_eq!(service.requests().len(), 1);
}

#[tokio::test]
async fn an_invalid_response_falls_back_to_climate_normals() {
    let ok = |body: &str| (StatusCode::OK, body.to_owned());
    let broken: [Vec<(StatusCode, String)>; 6] = [
        vec![(StatusCode::TOO_MANY_REQUESTS, r#"{"error":true,"reason":"limit"}"#.to_owned())],
        vec![(StatusCode::FOUND, String::new())],
        vec![ok("<html>")],
        vec![ok(&format!("{{\"results\":[],\"padding\":\"{}\"}}", "x".repeat(WEATHER_BODY_MAX_BYTES)))],
        vec![ok(LONDON), (StatusCode::INTERNAL_SERVER_ERROR, String::new())],
        vec![ok(LONDON), ok(r#"{"current":{}}"#)],
    ];
    for answers in broken {
        let service = Service::answering(answers.clone()).await;
        let output = service.ask("london").await.unwrap();
        assert_eq!(
            output,
            json!({
                "source": "climate normals", "place": "London", "country": "United Kingdom", "month": "November",
                "typical_high_c": 12, "typical_low_c": 5, "rain_days": 12,
                "note": "Not a forecast: the weather service cannot be reached. Approximate monthly means, 1991-2020.",
            }),
            "{answers:?}"
        );
        assert_eq!(service.requests().len(), answers.len());
    }
}

#[tokio::test]
async fn an_unreachable_service_without_normals_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let why = failed(ask_at(&nobody, "Ulaanbaatar").await);
    assert!(why.starts_with("the weather service cannot be reached"), "{why}");
    assert_eq!(ask_at(&nobody, "Tokyo").await.unwrap()["source"], "climate normals");
}

#[tokio::test(start_paused = true)]
async fn a_silent_service_times_out() {
    // The backlog accepts connections; nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    assert_eq!(ask_at(&silent, "Tokyo").await.unwrap()["source"], "climate normals");
}

#[tokio::test]
async fn an_input_without_a_place_is_refused() {
    let service = Service::ok(&[]).await;
    let weather = Weather::new(Http::new(None).unwrap(), Some(&service.base_url), november);
    for input in [
        json!({}),
        json!({"place": " "}),
        json!({"place": 1}),
        json!({"place": "x".repeat(101)}),
        json!(null),
    ] {
        assert!(matches!(weather.call(&input).await, Err(ToolError::Input(_))), "{input}");
    }
    assert!(service.requests().is_empty());
}
