//! `/tools`.

use crate::harness::TestApp;

#[tokio::test]
async fn the_catalogue_names_each_tool_with_its_parameters() {
    let app = TestApp::spawn().await;
    let member = app.member("ada@example.com").await;
    let tools = app.get("/api/v1/tools", Some(&member.token)).await;
    assert_eq!(tools.status, 200);
    let tools = tools.json();
    let nmap = tools["data"].as_array().unwrap().iter().find(|tool| tool["id"] == "nmap").unwrap();
    assert!(nmap["name"].is_string() && nmap["description"].is_string() && nmap["parameters"].is_object());
    assert_eq!(nmap["passive"], false);
}
