// Shows the images of a job's answer, which is a JSON document.

import { clear, failureOf, show } from "./images.js";

for (const button of document.querySelectorAll("[data-show]")) {
  const card = button.closest("section");
  const places = card.querySelector("[data-images]");
  const failure = card.querySelector("[data-failure]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    failure.hidden = true;
    try {
      const response = await fetch(button.dataset.show);
      if (!response.ok) throw await failureOf(response);
      const answer = await response.json();
      clear(places);
      answer.data.forEach((image, number) =>
        show(places, image, number, {
          type: answer.output_format ?? "png",
          alt: `Image ${number + 1}`,
          isWhole: true,
        }),
      );
    } catch (error) {
      failure.hidden = false;
      failure.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
}
