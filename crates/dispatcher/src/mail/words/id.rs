//! Indonesian.

use super::{Text, Words};

pub(super) static WORDS: Words = Words {
    tag: "id",
    verify_address: Text {
        subject: "Konfirmasi alamat email Anda",
        before: &["Halo {name},", "Mohon konfirmasi bahwa alamat email ini milik Anda agar dapat digunakan di Picket."],
        action: Some("Konfirmasi alamat"),
        after: &[
            "Tautan ini hanya dapat dipakai satu kali, sampai {expires}.",
            "Jika Anda tidak mendaftar di Picket, abaikan pesan ini: tanpa konfirmasi Anda tidak ada yang berubah.",
        ],
    },
    address_taken: Text {
        subject: "Anda sudah memiliki akun Picket",
        before: &[
            "Halo {name},",
            "Seseorang baru saja mencoba mendaftar di Picket dengan alamat email ini, tetapi Anda sudah memiliki akun. \
             Jika itu Anda, silakan masuk seperti biasa. Jika lupa kata sandi, Anda dapat membuat yang baru.",
        ],
        action: Some("Buat kata sandi baru"),
        after: &["Jika itu bukan Anda, Anda tidak perlu melakukan apa pun: akun Anda tidak berubah."],
    },
    reset_password: Text {
        subject: "Buat kata sandi baru",
        before: &["Halo {name},", "Anda meminta untuk membuat kata sandi baru bagi akun Picket Anda."],
        action: Some("Buat kata sandi baru"),
        after: &[
            "Tautan ini hanya dapat dipakai satu kali, sampai {expires}. Setelah kata sandi baru dibuat, Anda akan \
             dikeluarkan dari semua perangkat lain.",
            "Jika Anda tidak memintanya, abaikan pesan ini: kata sandi Anda tidak berubah.",
        ],
    },
    password_changed: Text {
        subject: "Kata sandi Anda telah diubah",
        before: &["Halo {name},", "Kata sandi akun Picket Anda diubah pada {at} dari alamat jaringan {address}."],
        action: None,
        after: &[
            "Jika itu bukan Anda, segera buat kata sandi baru melalui “Lupa kata sandi” dan beri tahu administrator Anda.",
        ],
    },
    mfa_enabled: Text {
        subject: "Autentikasi dua faktor telah diaktifkan",
        before: &[
            "Halo {name},",
            "Autentikasi dua faktor untuk akun Picket Anda diaktifkan pada {at}. Mulai sekarang Anda memerlukan kode dari \
             aplikasi autentikator untuk masuk. Simpan kode cadangan Anda di tempat yang aman.",
        ],
        action: None,
        after: &["Jika itu bukan Anda, segera buat kata sandi baru dan beri tahu administrator Anda."],
    },
    mfa_disabled: Text {
        subject: "Autentikasi dua faktor telah dinonaktifkan",
        before: &[
            "Halo {name},",
            "Autentikasi dua faktor untuk akun Picket Anda dinonaktifkan pada {at}. Sekarang akun Anda hanya dilindungi \
             oleh kata sandi.",
        ],
        action: None,
        after: &["Jika itu bukan Anda, segera buat kata sandi baru dan beri tahu administrator Anda."],
    },
    identity_linked: Text {
        subject: "Cara masuk baru ditautkan ke akun Anda",
        before: &[
            "Halo {name},",
            "Pada {at} sebuah akun {provider} ditautkan ke akun Picket Anda. Siapa pun yang masuk di sana kini dapat masuk di sini.",
        ],
        action: None,
        after: &[
            "Jika itu bukan Anda, lepaskan tautannya di akun Anda, segera buat kata sandi baru, dan beri tahu administrator Anda.",
        ],
    },
    identity_unlinked: Text {
        subject: "Sebuah cara masuk dilepas dari akun Anda",
        before: &[
            "Halo {name},",
            "Pada {at} akun {provider} dilepas dari akun Picket Anda. Akun itu tidak lagi dapat dipakai untuk masuk di sini.",
        ],
        action: None,
        after: &["Jika itu bukan Anda, segera buat kata sandi baru dan beri tahu administrator Anda."],
    },
    confirm_new_address: Text {
        subject: "Konfirmasi alamat email baru Anda",
        before: &[
            "Halo {name},",
            "Mohon konfirmasi bahwa alamat email ini milik Anda agar akun Picket Anda memakainya mulai sekarang.",
        ],
        action: Some("Konfirmasi alamat baru"),
        after: &[
            "Tautan ini hanya dapat dipakai satu kali, sampai {expires}.",
            "Jika Anda tidak memintanya, abaikan pesan ini: tanpa konfirmasi Anda tidak ada yang berubah.",
        ],
    },
    address_change_asked: Text {
        subject: "Penggantian alamat email diminta",
        before: &[
            "Halo {name},",
            "Pada {at} seseorang yang masuk ke akun Picket Anda meminta agar alamat emailnya diganti menjadi {email}. Alamat baru berganti hanya setelah dikonfirmasi.",
        ],
        action: None,
        after: &[
            "Jika itu bukan Anda, segera buat kata sandi baru: permintaan itu menjadi tidak berlaku. Beri tahu juga administrator Anda.",
        ],
    },
    address_changed: Text {
        subject: "Alamat email Anda telah diganti",
        before: &[
            "Halo {name},",
            "Pada {at} alamat email akun Picket Anda diganti menjadi {email}. Alamat ini tidak lagi dapat dipakai untuk masuk.",
        ],
        action: None,
        after: &["Jika itu bukan Anda, segera beri tahu administrator Anda."],
    },
    scan_completed: Text {
        subject: "Pemindaian {target} telah selesai",
        before: &[
            "Halo {name},",
            "Pemindaian {target} yang Anda minta di {organization} selesai pada {at}.",
            "Temuan: {critical} kritis, {high} tinggi, {medium} sedang, {low} rendah, {info} informasi.",
        ],
        action: Some("Buka hasilnya"),
        after: &[
            "Hasil itu juga menyebutkan apa yang diperiksa dan apa yang tidak: sedikit temuan saja tidak berarti semuanya aman.",
            "Anda menerima pesan ini karena Anda memintanya saat pemindaian dibuat.",
        ],
    },
    scan_failed: Text {
        subject: "Pemindaian {target} gagal",
        before: &[
            "Halo {name},",
            "Pemindaian {target} yang Anda minta di {organization} gagal pada {at}: tidak ada yang dapat diperiksa.",
            "Temuan: {critical} kritis, {high} tinggi, {medium} sedang, {low} rendah, {info} informasi.",
        ],
        action: Some("Lihat sebabnya"),
        after: &["Anda menerima pesan ini karena Anda memintanya saat pemindaian dibuat."],
    },
    scan_cancelled: Text {
        subject: "Pemindaian {target} dibatalkan",
        before: &[
            "Halo {name},",
            "Pemindaian {target} yang Anda minta di {organization} dibatalkan pada {at}. Yang telah ditemukan sampai saat itu disimpan.",
            "Temuan: {critical} kritis, {high} tinggi, {medium} sedang, {low} rendah, {info} informasi.",
        ],
        action: Some("Buka hasilnya"),
        after: &["Anda menerima pesan ini karena Anda memintanya saat pemindaian dibuat."],
    },
    proof_missing: Text {
        subject: "Bukti untuk {target} tidak ditemukan",
        before: &[
            "Halo {name},",
            "Token yang membuktikan bahwa {organization} menguasai {target} tidak ditemukan pada {at}.",
        ],
        action: None,
        after: &[
            "Kami akan memeriksa lagi dalam sehari. Jika masih tidak ada, bukti berakhir dan pemindaian yang bergantung padanya tidak dilanjutkan. Harap pasang kembali token tersebut.",
        ],
    },
    proof_ended: Text {
        subject: "Bukti untuk {target} telah berakhir",
        before: &[
            "Halo {name},",
            "Token yang membuktikan bahwa {organization} menguasai {target} dua kali berturut-turut tidak ditemukan, sehingga bukti berakhir pada {at}.",
        ],
        action: None,
        after: &[
            "Bagian pemindaian yang belum dimulai dan hanya bergantung padanya telah diakhiri. Untuk memindai target ini lagi, harap buktikan kembali.",
        ],
    },
    target_shared: Text {
        subject: "{target} juga dibuktikan oleh organisasi lain",
        before: &[
            "Halo {name},",
            "{organization} telah membuktikan bahwa ia menguasai {target}. Sejak {at}, organisasi lain di Picket membuktikan hal yang sama.",
        ],
        action: None,
        after: &[
            "Jika Anda sudah mengetahuinya, tidak ada yang perlu dilakukan. Jika tidak, pihak lain mungkin menguasai target atau DNS-nya: harap periksa catatannya, dan tarik bukti Anda jika target itu bukan milik Anda lagi.",
        ],
    },
    invitation: Text {
        subject: "Undangan untuk bergabung dengan {organization} di Picket",
        before: &[
            "Halo,",
            "{inviter} mengundang Anda untuk bergabung dengan organisasi {organization} di Picket sebagai {role}.",
        ],
        action: Some("Terima undangan"),
        after: &[
            "Undangan ini berlaku sampai {expires}.",
            "Jika Anda tidak mengenal pengundangnya, abaikan pesan ini: tidak ada yang dapat bergabung atas nama Anda.",
        ],
    },
    viewer: "pengamat",
    analyst: "analis",
    admin: "administrator",
    owner: "pemilik",
    copy_link: "Jika tombol tidak berfungsi, salin alamat ini ke peramban Anda:",
    footer: "Picket mengirim pesan ini karena ada tindakan pada sebuah akun. Balasan atas pesan ini tidak dibaca.",
};
