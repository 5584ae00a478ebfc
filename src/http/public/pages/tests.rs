use super::*;

const SCRIPT: &str = "<script>alert(\"it's\")</script>";

fn frame() -> Frame {
    Frame {
        site_name: "Example Academy".to_owned(),
        base: "https://badges.example.com".to_owned(),
    }
}

fn award() -> AwardPage {
    let base = "https://badges.example.com";
    let id = "4b1c6f0e-7a53-4a0d-9d0e-2f6c1b8e5a11";
    AwardPage {
        frame: frame(),
        badge_name: "Enroll in Three Courses".to_owned(),
        badge_slug: "enrolled_three".to_owned(),
        badge_url: format!("{base}/ob2/badges/7/criteria"),
        badge_image_url: format!("{base}/ob2/badges/7/image.png"),
        description: "Enrolled in three courses: a curious start.".to_owned(),
        criteria: "A learner must enroll in three different courses to receive this badge.".to_owned(),
        username: "ada".to_owned(),
        course_name: Some("Demonstration Course".to_owned()),
        issuer_name: "Example Academy".to_owned(),
        issuer_url: "https://academy.example.com".to_owned(),
        issued_date: "2026-11-20".to_owned(),
        issued_in_words: "20 November 2026".to_owned(),
        issued_year: "2026".to_owned(),
        issued_month: "11".to_owned(),
        evidence_url: Some("https://lms.example.com/certificates/5f0c?a=1&b=2".to_owned()),
        revocation: None,
        assertion_id: id.to_owned(),
        assertion_url: format!("{base}/ob2/assertions/{id}"),
        baked_image_url: format!("{base}/ob2/assertions/{id}/image.png"),
        page_url: format!("{base}/badges/{id}"),
    }
}

fn badge() -> BadgePage {
    let award = award();
    BadgePage {
        frame: frame(),
        name: award.badge_name,
        description: award.description,
        criteria: award.criteria,
        course_name: None,
        image_url: award.badge_image_url,
        issuer_name: award.issuer_name,
        issuer_url: award.issuer_url,
        json_url: "https://badges.example.com/ob2/badges/7".to_owned(),
        page_url: award.badge_url,
    }
}

fn issuer() -> IssuerPage {
    let badge = badge();
    IssuerPage {
        frame: frame(),
        name: "Example Academy".to_owned(),
        url: "https://academy.example.com".to_owned(),
        description: Some("Open courses for everyone.".to_owned()),
        image_url: None,
        json_url: "https://badges.example.com/ob2/issuers/1".to_owned(),
        badges: vec![BadgeCard {
            name: badge.name,
            image_url: badge.image_url,
            url: badge.page_url,
        }],
    }
}

fn home(is_demo: bool) -> HomePage {
    let award = award();
    HomePage {
        frame: frame(),
        is_demo,
        links: vec![Link {
            label: "API documentation".to_owned(),
            url: "https://badges.example.com/api/docs".to_owned(),
        }],
        recent: vec![AwardCard {
            badge_name: award.badge_name,
            image_url: award.badge_image_url,
            username: award.username,
            date_in_words: award.issued_in_words,
            url: award.page_url,
            is_revoked: false,
        }],
    }
}

fn render(page: &impl Template) -> String {
    page.render().expect("a page of plain texts renders")
}

#[test]
fn a_valid_award_says_what_to_whom_by_whom_and_when() {
    let html = render(&award());
    for part in [
        "<h1>Enroll in Three Courses</h1>",
        "Awarded to <strong>ada</strong>",
        "<a href=\"https://academy.example.com\">Example Academy</a>",
        "<time datetime=\"2026-11-20\">20 November 2026</time>",
        "This badge is valid",
        "Demonstration Course",
        "A learner must enroll in three different courses",
        "href=\"https://badges.example.com/ob2/assertions/4b1c6f0e-7a53-4a0d-9d0e-2f6c1b8e5a11\"",
        "download=\"enrolled_three.png\"",
    ] {
        assert!(html.contains(part), "{part} is missing in\n{html}");
    }
    assert!(!html.contains("Revoked"));
}

#[test]
fn a_revoked_award_says_so_and_offers_neither_profile_nor_image() {
    let mut page = award();
    page.revocation = Some(Revocation {
        date: "2026-11-22".to_owned(),
        date_in_words: "22 November 2026".to_owned(),
        reason: "Issued in error".to_owned(),
    });
    let html = render(&page);
    assert!(html.contains("Revoked on <time datetime=\"2026-11-22\">22 November 2026</time>"));
    assert!(html.contains("Issued in error"));
    assert!(!html.contains("This badge is valid"));
    assert!(!html.contains("linkedin.com"));
    assert!(!html.contains(&page.baked_image_url));
}

#[test]
fn the_profile_link_is_percent_encoded() {
    let mut page = award();
    page.badge_name = "C++ & Söhne/1".to_owned();
    let html = render(&page);
    let link = html
        .split('"')
        .find(|part| part.contains("linkedin.com"))
        .expect("there is a profile link");
    let expected = "https://www.linkedin.com/profile/add?startTask=CERTIFICATION_NAME&amp;name=C%2B%2B%20%26%20S%C3%B6hne%2F1\
        &amp;organizationName=Example%20Academy&amp;issueYear=2026&amp;issueMonth=11\
        &amp;certUrl=https%3A%2F%2Fbadges.example.com%2Fbadges%2F4b1c6f0e-7a53-4a0d-9d0e-2f6c1b8e5a11\
        &amp;certId=4b1c6f0e-7a53-4a0d-9d0e-2f6c1b8e5a11";
    assert_eq!(link, expected);
}

#[test]
fn criteria_that_are_an_address_become_a_link() {
    let mut page = badge();
    page.criteria = "https://lms.example.com/courses/about".to_owned();
    assert!(render(&page).contains("<a href=\"https://lms.example.com/courses/about\">Read the criteria</a>"));
}

#[test]
fn only_web_addresses_become_links() {
    for (text, is_link) in [
        ("https://a.example", true),
        ("HTTP://a.example", true),
        ("javascript:alert(1)", false),
        ("data:text/html,x", false),
        ("https://a.example or ask", false),
        ("//a.example", false),
        ("ä", false),
        ("", false),
    ] {
        assert_eq!(web_link(text).is_some(), is_link, "{text}");
    }
    let mut page = award();
    page.evidence_url = Some("javascript:alert(1)".to_owned());
    page.issuer_url = "javascript:alert(2)".to_owned();
    page.criteria = "javascript:alert(3)".to_owned();
    page.assertion_url = "javascript:alert(4)".to_owned();
    page.baked_image_url = "javascript:alert(5)".to_owned();
    let html = render(&page);
    assert!(!html.contains("href=\"javascript"), "{html}");
    assert!(
        !html.contains("Download the badge") && html.contains("This badge is valid"),
        "{html}"
    );
}

#[test]
fn what_people_wrote_is_escaped_on_every_page() {
    let mut award = award();
    award.badge_name = SCRIPT.to_owned();
    award.badge_slug = SCRIPT.to_owned();
    award.description = SCRIPT.to_owned();
    award.criteria = SCRIPT.to_owned();
    award.username = SCRIPT.to_owned();
    award.course_name = Some(SCRIPT.to_owned());
    award.issuer_name = SCRIPT.to_owned();
    award.evidence_url = Some(format!("https://a.example/\"><{SCRIPT}"));
    award.revocation = Some(Revocation {
        date: SCRIPT.to_owned(),
        date_in_words: SCRIPT.to_owned(),
        reason: SCRIPT.to_owned(),
    });
    award.frame.site_name = SCRIPT.to_owned();
    let mut valid = award.clone();
    valid.revocation = None;
    let mut badge = badge();
    badge.name = SCRIPT.to_owned();
    badge.description = SCRIPT.to_owned();
    badge.criteria = SCRIPT.to_owned();
    let mut issuer = issuer();
    issuer.name = SCRIPT.to_owned();
    issuer.description = Some(SCRIPT.to_owned());
    issuer.badges[0].name = SCRIPT.to_owned();
    let mut home = home(true);
    home.recent[0].username = SCRIPT.to_owned();
    home.recent[0].badge_name = SCRIPT.to_owned();
    let problem = ProblemPage {
        frame: frame(),
        status: 400,
        title: SCRIPT.to_owned(),
        detail: SCRIPT.to_owned(),
    };
    for html in [
        render(&award),
        render(&valid),
        render(&badge),
        render(&issuer),
        render(&home),
        render(&problem),
    ] {
        assert!(html.contains("&#60;script&#62;"), "nothing was escaped in\n{html}");
        assert!(!html.contains("<script"), "a script got into\n{html}");
        assert!(!html.contains("alert(\""), "a quotation mark got out in\n{html}");
    }
}

#[test]
fn only_the_demo_shows_awards_on_the_front_page() {
    assert!(render(&home(true)).contains("<strong>ada</strong>"));
    assert!(!render(&home(false)).contains("ada"));
}

#[test]
fn a_wrong_address_gets_a_friendly_page() {
    let html = render(&ProblemPage::not_found(frame()));
    assert!(html.contains("There is nothing here"));
    assert!(html.contains("href=\"https://badges.example.com/\""));
}

#[test]
fn no_page_holds_an_at_sign_a_script_or_a_foreign_resource() {
    for html in [
        render(&award()),
        render(&badge()),
        render(&issuer()),
        render(&home(true)),
        render(&ProblemPage::not_found(frame())),
    ] {
        assert!(!html.contains('@'), "{html}");
        assert!(!html.contains("<script"));
        for attribute in ["src=\"", "rel=\"stylesheet\" href=\""] {
            for rest in html.split(attribute).skip(1) {
                assert!(rest.starts_with("https://badges.example.com/"), "{rest}");
            }
        }
    }
}
