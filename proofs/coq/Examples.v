(* No theorem is vacuous: here each meets its hypotheses on concrete tasks. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2 Section3 StayOrLeave Section4 Section5 Section6 Section7.
From BOMRL Require Import Claims.
From BOMRL Require Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* ---- Alg(2), exact: the counterexample of section 4 ----------------------------------------------------------- *)

Theorem contraction_kl_posterior_example : exists c : case unit_finType B B,
  method c = kl_posterior /\ Constant.solves_inner_problem c /\ 15 / 19 < Constant.gap c tt.
Proof. by exists counterexample; split=> //; split; [exact: counterexample_is_exact | exact: counterexample_gap]. Qed.

Example contraction_kl_posterior_here := contraction_kl_posterior (c := counterexample) erefl tt.
Example coverage_here := coverage (c := counterexample) erefl tt.
Example coverage_exact_here := coverage_exact (c := counterexample) tt erefl counterexample_is_exact.
Example task_variance_here := task_variance (c := counterexample) erefl.
Example contraction_task_average_here :=
  contraction_task_average (c := counterexample) (or_intror (or_introl erefl)).
Example performance_difference_here :=
  performance_difference_case (c := counterexample) (or_intror (or_introl erefl)) tt.
Example three_steps_here s :=
  mirror_descent_K_steps phi_gt0 p0 (value_exists task (fun s => point (stays tt s))) 3 s.

(* ---- Alg(1), exact, by its closed form with mu = 5 ---------------------------------------------------------------- *)

(* lambda such that lambda (1/10)/(5 - 97/23) + lambda (9/10)/(5 - 4) = 1 in state 0; in state 1 all actions tie. *)
Definition lambda1 : R := 36 / 37.
Lemma lambda1_gt0 : 0 < lambda1. Proof. by rewrite /lambda1; lra. Qed.
Definition stay1 : R := lambda1 * (1 / 10) / (5 - 97 / 23).
Lemma stay1_gt0 : 0 < stay1. Proof. by rewrite /stay1 /lambda1; lra. Qed.
Lemma stay1_lt1 : stay1 < 1. Proof. by rewrite /stay1 /lambda1; lra. Qed.
Definition pi_1 : policy B B := fun s => if s then coin stay1_gt0 stay1_lt1 else phi s.

Lemma pi_1_gt0 s a : 0 < pi_1 s a.
Proof. by case: s; [apply: (coin_gt0 stay1_gt0 stay1_lt1) | apply: phi_gt0]. Qed.

Definition prior_case : case unit_finType B B := stay_or_leave kl_prior lambda1_gt0 phi_gt0 pi_1_gt0.

Lemma Qphi_tied a : Qphi false a = 5.
Proof. by rewrite /Qphi Q_task /pays /= (V_absorbing (value_exists task phi)); lra. Qed.

Lemma prior_case_is_exact : Constant.solves_inner_problem prior_case.
Proof.
move=> tau s x /= x0; case: s.
  apply: (@closed_form_is_argmax_kl_prior _ (phi true) (pi_1 true) (Qphi true) lambda1 5) => //.
  - exact: lambda1_gt0.
  - exact: phi_gt0.
  - by case; rewrite ?Qphi_stay ?Qphi_leave; lra.
  - by case; rewrite ?Qphi_stay ?Qphi_leave /= /coin_prob /stay1 /lambda1 /=; field.
rewrite /Constant.objective /Constant.penalty /=.
have E (y : dist B) : inner y (Qphi false) = 5.
  by rewrite (inner_ext y (g := fun _ => 5)) ?inner_const // => a; rewrite Qphi_tied.
rewrite (E x : inner x (Constant.Q_phi prior_case tau false) = 5).
rewrite (E (pi_1 false) : inner (pi_1 false) (Constant.Q_phi prior_case tau false) = 5).
rewrite (KL_refl (phi_gt0 false) : KL (phi false) (pi_1 false) = 0).
suff : 0 <= lambda1 * KL (phi false) x by rewrite /phi; lra.
by apply: Rmult_le_pos; [have := lambda1_gt0; lra | apply: gibbs].
Qed.

Theorem contraction_kl_prior_example : exists c : case unit_finType B B,
  method c = kl_prior /\ Constant.solves_inner_problem c.
Proof. by exists prior_case; split=> //; exact: prior_case_is_exact. Qed.

Example contraction_kl_prior_here := contraction_kl_prior (c := prior_case) erefl tt.
Example contraction_exact_here := contraction_exact tt (or_introl (erefl (method prior_case))) prior_case_is_exact.

(* ---- Alg(3) and no adaptation ----------------------------------------------------------------------------------- *)

Definition euclidean_case : case unit_finType B B := stay_or_leave euclidean p0 phi_gt0 pi_plus_gt0.
Example contraction_euclidean_here := contraction_euclidean (c := euclidean_case) erefl tt.

Definition unadapted_case : case unit_finType B B := stay_or_leave none p0 phi_gt0 phi_gt0.
Example no_adaptation_here := no_adaptation (c := unadapted_case) erefl tt.

(* ---- the published form where it is true: lambda = 1 --------------------------------------------------------------- *)

Definition large_lambda_case : case unit_finType B B := stay_or_leave kl_posterior Rlt_0_1 phi_gt0 pi_plus_gt0.

Theorem published_bound_conditional_example : exists c : case unit_finType B B,
  method c = kl_posterior /\ condition c /\ 0 < Constant.gap_phi c tt.
Proof.
exists large_lambda_case; split=> //.
have V0 : value task phi true = 185 / 46 by have := V_start (value_exists task phi); rewrite /= /coin_prob; lra.
have V1 := V_absorbing (value_exists task phi).
split; last by rewrite /Constant.gap_phi !return_is_value /= (V_star_is_5 true) V0; lra.
rewrite /condition /published_bound_conditional_assumption1 largest_unit.
suff : Constant.A_max large_lambda_case tt <= 9 / 46.
  by rewrite /Constant.lambda /Constant.gamma /=; lra.
apply: largest_le => [|s]; first exact: (inhabits true).
apply: largest_le => [|a]; first exact: (inhabits true).
change (Rabs (Qphi s a - value task phi s) <= 9 / 46).
by apply: Rabs_le; case: s; case: a; rewrite ?Qphi_tied ?Qphi_stay ?Qphi_leave ?V0 ?V1; lra.
Qed.

(* ---- estimated action values, off by 1/100 at one place --------------------------------------------------------- *)

Definition Qhat (s a : B) : R := Qphi s a + (if s && a then 1 / 100 else 0).

Lemma Qhat_near s a : Rabs (Qhat s a - Q task (value task phi) s a) <= 1 / 100.
Proof.
have -> : Qhat s a - Q task (value task phi) s a = if s && a then 1 / 100 else 0 by rewrite /Qhat /Qphi; ring.
by apply: Rabs_le; case: ifP => _; lra.
Qed.

Definition pi_hat : policy B B := fun s => soft (Qhat s) (1 / 10) (phi_gt0 s).

Example estimated_values_here s := @estimated_values B B task phi (fun s => point (stays tt s)) pi_hat
  (fun s => point (stays tt s)) (value task phi) (value task (fun s => point (stays tt s))) (value task pi_hat)
  (value_exists task phi) (value_exists task _) (value_exists task pi_hat)
  (fun s x => 1 / 10 * KL x (phi s)) Qhat (1 / 100) (fun _ => 0) (0 + 2 * (1 / 100)) Qhat_near
  (fun s => eq_trans (f_equal (Rmult (1 / 10)) (KL_refl (phi_gt0 s))) (Rmult_0_r _))
  (fun s => Rmult_le_pos _ _ (Rlt_le _ _ p0) (gibbs _ (phi_gt0 s)))
  (fun s => Rle_trans _ _ _ (closed_form_is_argmax (Qhat s) p0 (phi_gt0 s) (phi s)) (Req_le _ _ (esym (Rplus_0_r _))))
  (fun s => Rle_trans _ _ _ (closed_form_is_argmax (Qhat s) p0 (phi_gt0 s) (point (stays tt s)))
    (Req_le _ _ (esym (Rplus_0_r _))))
  (fun _ => Rle_refl _) s.
