"""The page of scripts/report.py in a headless Chromium: what people see and do. Exits 77 where there is
no Chromium with its driver, or no Selenium. Usage: test_report_browser.py PROGRAM SCREENSHOTS"""
import base64
import pathlib
import re
import shutil
import sys
import tempfile
import time
import unittest

from report_folders import OTHER, changed, hostile, run

try:
    import report
    from selenium import webdriver
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PROGRAM, PICTURES = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
if not CHROMIUM or not DRIVER:
    print("skipped: no Chromium with chromedriver")
    sys.exit(77)
WIDE, PHONE = (1360, 900), (390, 844)
PATIENCE = 120  # seconds, of a loaded machine


def slower(name, row):
    if name == "results.csv" and row["time_s"]:
        row["time_s"] = repr(2 * float(row["time_s"]))


def gpu(name, row):
    row.update(run_id="gpu", device="cuda:0")
    if name == "results.csv":
        row.update(hardware_id="gpu", threads="1")


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="vg_browser_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        folders = [*run(PROGRAM, cls.folder), changed(OTHER, cls.folder / "slower", slower)]

        cls.pages = {}
        for name, arguments in (("all", [*folders, "--baseline", OTHER]), ("hostile", [hostile(cls.folder / "hostile")]),
                                ("gpu", [OTHER, changed(OTHER, cls.folder / "gpu", gpu)])):
            cls.pages[name] = cls.folder / f"{name}.html"
            if report.main([*map(str, arguments), "-o", str(cls.pages[name])]):
                raise AssertionError(f"no page of {arguments}")
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        cls.browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        cls.addClassCleanup(cls.browser.quit)
        cls.browser.set_page_load_timeout(PATIENCE)
        cls.browser.set_script_timeout(PATIENCE)

    def open(self, name="all", size=WIDE, dark=False):
        self.look(size, dark)
        self.browser.get(self.pages[name].as_uri())
        self.settle()

    def look(self, size, dark=False, media=""):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "media": media, "features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def js(self, script, *arguments):
        return self.browser.execute_script(f"return {script}", *arguments)

    def until(self, what, message):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if what():
                return
            time.sleep(0.02)
        self.fail(message)

    def settle(self, after=0):
        """Until the charts of a round later than `after` are drawn."""
        self.until(lambda: int(self.js("document.body.dataset.ready || 0")) > after, "the charts were not drawn")

    def round(self):
        return int(self.js("document.body.dataset.ready"))

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def column(self, title):
        """Texts of a column of the table of all cases."""
        return self.js("""(title => {
            const table = document.querySelector('#cases table');
            const at = [...table.querySelectorAll('th')].findIndex(th => th.textContent === title);
            return [...table.querySelectorAll('tbody tr')].map(tr => tr.children[at].textContent); })(arguments[0])""", title)

    def silent(self):
        """Neither an error nor a warning since the last look."""
        self.assertEqual([entry["message"] for entry in self.browser.get_log("browser")], [])

    def shoot(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        width, height = self.js("[innerWidth, Math.min(document.documentElement.scrollHeight, 12000)]")
        shot = self.browser.execute_cdp_cmd("Page.captureScreenshot", {
            "captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def test_loads(self):
        self.open()
        self.silent()
        self.assertEqual(self.js("performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"), [])
        wanted = ["changes", "depth", "time", "verdicts", "remedies", "speed", "devices", "roofline", "cases", "decay", "environment"]
        got = self.js("[...document.querySelectorAll('section.part')].map(s => s.id)")
        self.assertEqual(got, [name for name in wanted if name in got])
        self.assertLessEqual(set(wanted) - {"devices"}, set(got))
        links = self.js("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
        self.assertEqual(links, got)
        charts = self.js("[...document.querySelectorAll('.chart')].map(c => [c.querySelectorAll('svg').length, "
                         "c.querySelectorAll('.mark-symbol path, .mark-rect path, .mark-rule line').length > 0, c.querySelector('svg').getAttribute('aria-label')])")
        self.assertGreater(len(charts), 8)
        for count, marks, label in charts:
            self.assertEqual((count, marks), (1, True), label)
            self.assertGreater(len(label), 20)
        self.assertIn("stack-sigmoid", self.find("#summary").text)
        self.assertIn("smallest subnormal fp32", self.find("#time").text)

    def test_filters(self):
        self.open()
        count, charts = self.find("#count").text, len(self.all(".chart"))
        devices = sorted(set(self.column("device")))
        at = self.round()
        self.find("fieldset[data-filter=device] input[value=null]").click()
        self.settle(at)
        self.assertNotEqual(self.find("#count").text, count)
        self.assertEqual(sorted(set(self.column("device"))), [name for name in devices if name != "null"])
        at = self.round()
        self.find("#search").send_keys("lstm t300")
        self.settle(at)
        self.assertTrue(all(name.startswith("lstm/") and "/t300/" in name for name in self.column("case")))
        self.assertEqual(self.all("#depth"), [])
        at = self.round()
        self.find("#search").send_keys("nothing")
        self.settle(at)
        self.assertIn("Nothing fits", self.find("#sections").text)
        at = self.round()
        self.find("#reset").click()
        self.settle(at)
        self.assertEqual((self.find("#count").text, len(self.all(".chart"))), (count, charts))
        self.silent()

    def test_enter_in_the_search_keeps_the_page(self):
        self.open()
        self.js("window.here = 1")
        at = self.round()
        self.find("#search").send_keys("lstm t300", Keys.ENTER)
        self.settle(at)
        self.assertEqual(self.js("window.here"), 1)
        self.assertTrue(all(name.startswith("lstm/") for name in self.column("case")))

    def test_a_choice_keeps_the_focus(self):
        self.open("gpu")
        for section, label in (("#depth", "Device"), ("#speed", "Show"), ("#speed", "Pass"), ("#devices", "Reference")):
            self.js("""((section, label) => {
                const select = [...document.querySelectorAll(`${section} .bar label`)].find(l => l.textContent.startsWith(label)).querySelector('select');
                select.focus();
                select.selectedIndex = 1;
                select.dispatchEvent(new Event('change')); })(...arguments)""", section, label)
            self.assertEqual(self.js("document.activeElement.closest('label')?.firstChild.textContent"), label)

    def test_a_pass_is_that_of_every_chart_of_speed(self):
        self.open("gpu")
        self.js("""(select => { select.value = 'fwd'; select.dispatchEvent(new Event('change')); })(
            document.querySelectorAll('#speed .bar select')[1])""")
        for section in ("#devices", "#roofline"):
            self.assertIn("a fwd pass", self.find(f"{section} p").text)
        order = self.js("[...document.querySelectorAll('section.part')].map(s => s.id)")
        self.assertLess(order.index("speed"), order.index("devices"))

    def test_a_processor_beside_a_gpu(self):
        """A GPU has one thread, the processor several: their rows of a case stand beside each other."""
        self.open("gpu")
        self.assertIn("cuda:0", self.find("#devices").text)
        self.assertIn("cpu.avx2", self.find("#devices").text)

    def test_one_case_each_is_drawn_too(self):
        self.open("gpu")
        self.assertEqual(len(self.all("#speed .chart svg")), len(self.all("#speed .chart")))
        self.assertIn("cuda:0", self.find("#speed").text)

    def test_choices(self):
        self.open()
        for section in ("#depth", "#speed"):
            for label in [one.text.split()[0] for one in self.all(f"{section} .bar label")]:
                for option in range(9):
                    self.js("""((section, label, option) => {
                        const select = [...document.querySelectorAll(`${section} .bar label`)].find(l => l.textContent.startsWith(label))?.querySelector('select');
                        if (!select || option >= select.options.length) return;
                        select.selectedIndex = option;
                        select.dispatchEvent(new Event('change')); })(...arguments)""", section, label, option)
        self.until(lambda: self.js("[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg'))"), "a chart was not drawn")
        self.silent()

    def test_sorts(self):
        self.open()
        self.js("document.querySelector('#cases .more').click()")
        for title, wanted in (("half-life", "descending"), ("half-life", "ascending"), ("half-life", "descending")):
            header = next(one for one in self.all("#cases th button") if one.text.startswith(title))
            self.js("arguments[0].click()", header)
            self.assertEqual(header.find_element(By.XPATH, "..").get_attribute("aria-sort"), wanted)
            known = [float(one.replace(",", "")) for one in self.column(title) if one]
            self.assertGreater(len(set(known)), 3)
            self.assertEqual(known, sorted(known, reverse=wanted == "descending"))
            self.assertEqual(self.column(title)[:len(known)].count(""), 0)  # what is not known stands last
        header = next(one for one in self.all("#cases th button") if one.text.startswith("case"))
        self.js("arguments[0].click()", header)
        self.assertEqual(len(self.all("#cases th[aria-sort]")), 1)
        self.assertLess(self.column("case")[0], self.column("case")[-1])

    def test_keyboard(self):
        self.open()
        seen = []
        for _ in range(40):
            ActionChains(self.browser).send_keys(Keys.TAB).perform()
            seen.append(self.js("""(e => [e.tagName, e.textContent || e.value || e.placeholder,
                getComputedStyle(e).outlineStyle !== 'none', e.getBoundingClientRect().width > 0])(document.activeElement)"""))
        self.assertEqual(seen[0][:2], ["A", "Skip to the results"])
        self.assertIn("BUTTON", [tag for tag, *_ in seen])
        self.assertIn("SELECT", [tag for tag, *_ in seen])
        self.assertTrue(all(outline and visible for _, _, outline, visible in seen), seen)
        at, count = self.round(), self.find("#count").text
        self.js("document.querySelector('fieldset[data-filter=kind] input').focus()")
        ActionChains(self.browser).send_keys(Keys.SPACE).perform()
        self.settle(at)
        self.assertNotEqual(self.find("#count").text, count)
        self.js("document.querySelector('#cases th button').focus()")
        ActionChains(self.browser).send_keys(Keys.ENTER).perform()
        self.assertEqual(self.js("document.querySelector('#cases th').getAttribute('aria-sort')"), "ascending")
        self.js("document.querySelector('#depth figure summary').focus()")
        ActionChains(self.browser).send_keys(Keys.ENTER).perform()
        self.until(lambda: self.all("#depth figure table tbody tr"), "no numbers of a chart")

    def test_every_control_has_a_name(self):
        self.open()
        self.assertEqual(self.js("""[...document.querySelectorAll('button, input, select, summary')].filter(e =>
            !(e.getAttribute('aria-label') || e.textContent || e.closest('label')?.textContent)).map(e => e.outerHTML)"""), [])
        levels = self.js("[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1]))")
        self.assertTrue(all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)

    def test_tooltip(self):
        self.open()
        points = "#roofline .mark-symbol.role-mark path"
        self.js("document.querySelector('#roofline').scrollIntoView()")
        ActionChains(self.browser).move_to_element(self.find(points)).perform()
        self.until(lambda: "build/bench --case=" in self.js("document.querySelector('#vg-tooltip-element')?.textContent || ''"),
                   "no tooltip with a command")
        self.js("document.querySelector('#time').scrollIntoView()")
        ActionChains(self.browser).move_to_element_with_offset(self.find("#time .chart svg"), 30, -80).perform()
        self.until(lambda: re.search(r"exact norm\s+[\d.]+.*as held", self.find("#vg-tooltip-element").text, re.S), "no tooltip of the nearest point")
        self.assertNotIn("undefined", self.find("#vg-tooltip-element").text)
        self.assertRegex(self.find("#vg-tooltip-element").text, "build/bench --case=(rnn-tanh|lstm)/d1/w8/b2/t300/fp32/uniform/seed1 --device=cpu[.]")

    def test_links_lead_to_their_sections(self):
        self.open()
        self.find("nav a[href='#decay']").click()
        self.until(lambda: self.js("document.querySelector('#decay h2').getBoundingClientRect().top < innerHeight"), "the link leads nowhere")
        self.assertGreaterEqual(self.js("document.querySelector('#decay h2').getBoundingClientRect().top"),
                                self.js("document.querySelector('#filters').getBoundingClientRect().bottom"))

    def test_themes(self):
        shade = "(c => c.match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3)(getComputedStyle(%s).%s)"
        body, text = "document.body", "document.querySelector('.chart svg .role-axis-label text')"
        for size, name in ((WIDE, "wide"), (PHONE, "phone")):
            for dark in (False, True):
                self.open(size=size, dark=dark)
                self.shoot(f"{name}-{'dark' if dark else 'light'}")
                paper, ink, label = (self.js(shade % one) for one in ((body, "backgroundColor"), (body, "color"), (text, "fill")))
                self.assertEqual((paper < 60, ink > 180, label > 130), (dark,) * 3, (paper, ink, label))
        self.open(dark=True)
        for wanted in ("light", "dark", "system"):
            self.find("#theme").click()
            self.assertEqual(self.find("#theme").text, f"Theme: {wanted}")
            self.assertEqual(self.js(shade % (body, "backgroundColor")) < 60, wanted != "light")

    def test_phone(self):
        for width in (PHONE, (320, 700)):
            self.open(size=width)
            self.assertLessEqual(self.js("document.documentElement.scrollWidth"), width[0])
            self.assertEqual(self.js("""[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, .skip')
                && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""), [])
            self.silent()

    def test_print(self):
        self.open(dark=True)
        printed = self.browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
        pdf = base64.b64decode(printed["data"])
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / "printed.pdf").write_bytes(pdf)
        self.assertTrue(pdf.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", pdf)) > 2)
        self.look(WIDE, dark=True, media="print")
        self.assertEqual(self.js("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.assertEqual(self.js("getComputedStyle(document.querySelector('#filters')).display"), "none")
        self.assertEqual(self.js("getComputedStyle(document.querySelector('#cases th'), '::before').content"), '"case"')

    def test_saved_picture_stands_alone(self):
        self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(self.folder)})
        self.open()
        self.js("document.querySelector('#depth .tools button').click()")
        saved = self.folder / "norm-of-l-h-over-depth.svg"
        self.until(lambda: saved.exists() and saved.read_text().endswith("</svg>"), f"no {saved.name}: {list(self.folder.iterdir())}")
        self.assertNotIn("var(", saved.read_text())
        self.assertIn("layers back from the loss", saved.read_text())

    def test_hostile_names_are_text(self):
        self.open("hostile")
        self.silent()
        self.assertIsNone(self.js("window.hacked"))
        self.assertEqual(self.all("img"), [])
        self.assertIn("<img src=x", self.find("#cases").text)
        self.js("document.querySelector('#roofline').scrollIntoView()")
        ActionChains(self.browser).move_to_element(self.find("#roofline .mark-symbol.role-mark path")).perform()
        self.until(lambda: "<img src=x" in self.js("document.querySelector('#vg-tooltip-element')?.textContent || ''"), "no tooltip")
        self.assertIsNone(self.js("window.hacked"))
        self.assertEqual(self.all("img"), [])


if __name__ == "__main__":
    unittest.main()
