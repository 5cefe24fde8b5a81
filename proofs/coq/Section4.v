(* Section 4 of docs/theory.md: the published form of the bound. It is false as it stands, true for large lambda, and
   there already true of the unadapted meta-policy. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Section2 Section3 Section5 Claims.
From BOMRL Require Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* ---- true above a threshold ---------------------------------------------------------------------------------- *)

Section Conditional.
Variables (Tasks S A : finType) (c : case Tasks S A).

Section Task.
Variable tau : Tasks.
Notation M := (task c tau).

Lemma advantage_le s b : Rabs (Constant.Q_phi c tau s b - V_phi c tau s) <= Constant.A_max c tau.
Proof.
apply: Rle_trans (largest_ge (fun b => Rabs (Constant.Q_phi c tau s b - V_phi c tau s)) b) _.
exact: (largest_ge (fun s => Largest (fun b => Rabs (Constant.Q_phi c tau s b - V_phi c tau s))) s).
Qed.

Lemma V_star_ge s : V_phi c tau s <= V_star c tau s.
Proof. exact: (optimal_value (best_is_optimal c tau) (V_phi_def c tau)). Qed.

Lemma V_star_le s : V_star c tau s - V_phi c tau s <= Constant.A_max c tau / (1 - Constant.gamma c).
Proof.
rewrite -(gamma_def c tau).
apply: (@maximum_principle _ _ M (fun s => point (best c tau s)) (fun s => V_star c tau s - V_phi c tau s)) => s1.
rewrite -TpiB -V_star_def /Tpi inner_point -/(Constant.Q_phi c tau s1 (best c tau s1)).
have := advantage_le s1 (best c tau s1); have := Rle_abs (Constant.Q_phi c tau s1 (best c tau s1) - V_phi c tau s1).
lra.
Qed.

(* From advantages of the optimum to advantages of the meta-policy. *)
Theorem Delta_star_le :
  Constant.Delta_star c tau <= Constant.A_max c tau * (2 - Constant.gamma c) / (1 - Constant.gamma c).
Proof.
have g1 := gamma_lt1 c tau; have g0 := gamma_ge0 c tau.
have -> : Constant.A_max c tau * (2 - Constant.gamma c) / (1 - Constant.gamma c)
        = Constant.A_max c tau / (1 - Constant.gamma c) + Constant.A_max c tau by field; lra.
have inh := start_inhabited M; apply: largest_le => // s.
apply: largest_le => [|b]; first exact: dist_inhabited (meta c s).
have grows : Constant.Q_phi c tau s b <= Constant.Q_star c tau s b.
  rewrite /Constant.Q_phi /Constant.Q_star /Q; apply: Rplus_le_compat_l; apply: Rmult_le_compat_l.
    exact: discount_ge0.
  by apply: sum_le => s'; apply: Rmult_le_compat_l; [apply: prob_ge0 | apply: V_star_ge].
have := V_star_le s; have := advantage_le s b.
have := Rle_abs (- (Constant.Q_phi c tau s b - V_phi c tau s)); rewrite Rabs_Ropp; lra.
Qed.

(* pi+ loses at most eta at each visit. *)
Theorem adaptation_loses_little :
  Constant.gap c tau <= Constant.gap_phi c tau + Largest (fun s => Constant.eta c tau s) / (1 - Constant.gamma c).
Proof.
have g1 := gamma_lt1 c tau; set m := Largest _.
have gapE : Constant.gap c tau = Constant.gap_phi c tau - Constant.improvement c tau.
  by rewrite /Constant.gap /Constant.gap_phi /Constant.improvement; ring.
suff : - m <= (1 - Constant.gamma c) * Constant.improvement c tau.
  rewrite gapE => H; apply: (Rmult_le_reg_l (1 - Constant.gamma c)); first lra.
  have -> : (1 - Constant.gamma c) * (Constant.gap_phi c tau + m / (1 - Constant.gamma c))
          = (1 - Constant.gamma c) * Constant.gap_phi c tau + m by field; lra.
  lra.
rewrite improvementE -[m]Rmult_1_l -(flow_sum1 (visit_plus_def c tau)) Ropp_mult_distr_r -sumZr.
apply: sum_le => s; case: (Rle_lt_or_eq_dec _ _ (flow_ge0 (visit_plus_def c tau) s)) => [pos|<-]; last by lra.
apply: Rmult_le_compat_l; first lra.
have := largest_ge (fun s => Constant.eta c tau s) s; rewrite -/m.
have [vs_phi _] := eta_covers pos; have := penalty_ge0 tau s (adapted_competes c tau s).
rewrite gE /Tpi -/(Constant.Q_phi c tau s) {1}/Constant.objective in vs_phi *; lra.
Qed.

Lemma without_adaptation (m : R) : Constant.A_max c tau <= m ->
  Constant.lambda c >= m * (2 - Constant.gamma c) / ((1 - Constant.gamma c) * (1 + Constant.gamma c)) ->
  Constant.gap_phi c tau <= Constant.lambda c * (1 + Constant.gamma c) / (1 - Constant.gamma c)
    * Sum (fun s => - (Constant.nu_phi c tau s * ln (Constant.p c tau s))).
Proof.
move=> Am lm; have g1 := gamma_lt1 c tau; have g0 := gamma_ge0 c tau.
have threshold : Constant.Delta_star c tau <= Constant.lambda c * (1 + Constant.gamma c).
  apply: Rle_trans Delta_star_le _; apply: (Rle_trans _ (m * (2 - Constant.gamma c) / (1 - Constant.gamma c))).
    apply: Rmult_le_compat_r; first by apply/Rlt_le/Rinv_0_lt_compat; lra.
    by apply: Rmult_le_compat_r; lra.
  have -> : m * (2 - Constant.gamma c) / (1 - Constant.gamma c)
     = m * (2 - Constant.gamma c) / ((1 - Constant.gamma c) * (1 + Constant.gamma c)) * (1 + Constant.gamma c) by field; lra.
  by apply: Rmult_le_compat_r; lra.
apply: Rle_trans (no_adaptation_case c tau) _; rewrite /Rdiv.
have -> : forall x y z, x * y * z = x * z * y by move=> x y z; ring.
apply: Rmult_le_compat.
- apply: Rmult_le_pos; first exact: Delta_star_ge0.
  by apply/Rlt_le/Rinv_0_lt_compat; lra.
- apply: sum_ge0 => s; apply: Rmult_le_pos; first by have := p_le1 c tau s; lra.
  exact: (flow_ge0 (visit_phi_def c tau)).
- by apply: Rmult_le_compat_r => //; apply/Rlt_le/Rinv_0_lt_compat; lra.
- apply: sum_le => s; rewrite Rmult_comm Ropp_mult_distr_r; apply: Rmult_le_compat_l.
    exact: (flow_ge0 (visit_phi_def c tau)).
  exact/one_sub_le_ln/p_gt0.
Qed.

End Task.

Definition published_form : R :=
  Constant.lambda c * (1 + Constant.gamma c)
  * Sum (fun tau => Constant.w c tau * Sum (fun s => - (Constant.nu_phi c tau s * ln (Constant.p c tau s))))
  / (1 - Constant.gamma c).

Definition condition : Prop :=
  0 <= published_bound_conditional_assumption1 (Constant.lambda c) (Constant.gamma c) (Constant.A_max c).

Lemma published_per_task tau : condition -> Constant.gap_phi c tau
  <= Constant.lambda c * (1 + Constant.gamma c) / (1 - Constant.gamma c)
     * Sum (fun s => - (Constant.nu_phi c tau s * ln (Constant.p c tau s))).
Proof.
rewrite /condition /published_bound_conditional_assumption1; set m := Largest _ => H.
have g1 := gamma_lt1 c tau; have g0 := gamma_ge0 c tau.
apply: (@without_adaptation tau m); first exact: (largest_ge (fun tau => Constant.A_max c tau) tau).
have -> : m * (2 - Constant.gamma c) / ((1 - Constant.gamma c) * (1 + Constant.gamma c))
        = (2 - Constant.gamma c) * m / ((1 + Constant.gamma c) * (1 - Constant.gamma c)) by field; lra.
lra.
Qed.

End Conditional.

(* Where the condition makes the published form true, it is true of the unadapted meta-policy as well. *)
Theorem published_form_without_adaptation (T S A : finType) (c : case T S A) : condition c ->
  Sum (fun tau => Constant.w c tau * Constant.gap_phi c tau) <= published_form c.
Proof.
move=> H; have -> : published_form c = Sum (fun tau => Constant.w c tau
  * (Constant.lambda c * (1 + Constant.gamma c) / (1 - Constant.gamma c)
     * Sum (fun s => - (Constant.nu_phi c tau s * ln (Constant.p c tau s))))).
  rewrite /published_form /Rdiv; set k := _ * (1 + _).
  rewrite (sum_ext (f := fun tau => Constant.w c tau * (_ * _)) (g := fun tau => k * / (1 - Constant.gamma c)
    * (Constant.w c tau * Sum (fun s => - (Constant.nu_phi c tau s * ln (Constant.p c tau s)))))).
    by rewrite sumZl; ring.
  by move=> tau; ring.
by apply: sum_le => tau; apply: Rmult_le_compat_l; [apply: prob_ge0 | apply: published_per_task].
Qed.

Theorem published_bound_conditional : published_bound_conditional_claim.
Proof.
move=> T S A c alg H; rewrite /published_bound_conditional_left /published_bound_conditional_bound.
have := published_form_without_adaptation H; rewrite /published_form => bound.
apply: Rle_trans (_ : Sum (fun tau => Constant.w c tau * Constant.gap_phi c tau)
  + Sum (fun tau => Constant.w c tau * Largest (fun s => Constant.eta c tau s)) / (1 - Constant.gamma c) <= _).
  rewrite /Rdiv -sumZr -sumD; apply: sum_le => tau.
  have := Rmult_le_compat_l _ _ _ (prob_ge0 (weight c) tau) (adaptation_loses_little c tau).
  by rewrite -/(Constant.w c tau) /Rdiv; lra.
lra.
Qed.

(* ---- false without a condition --------------------------------------------------------------------------------- *)

From BOMRL Require Import StayOrLeave.

(* phi stays with probability 1/10; in state 1, whose actions are copies, it prefers the one that counts as optimal. *)
Section Refutation.

Lemma p0 : 0 < 1 / 10. Proof. lra. Qed.
Lemma p1 : 1 / 10 < 1. Proof. lra. Qed.
Lemma q0 : 0 < 1048576 / 1048577. Proof. lra. Qed.
Lemma q1 : 1048576 / 1048577 < 1. Proof. lra. Qed.
Definition phi : policy B B := fun s => if s then coin p0 p1 else coin q0 q1.

Lemma phi_gt0 s a : 0 < phi s a.
Proof. by case: s; [exact: (coin_gt0 p0 p1 a) | exact: (coin_gt0 q0 q1 a)]. Qed.

Definition Qphi (s : B) : B -> R := Q task (value task phi) s.
Definition pi_plus : policy B B := fun s => soft (Qphi s) (1 / 10) (phi_gt0 s).

Lemma pi_plus_gt0 s a : 0 < pi_plus s a.
Proof. exact: (soft_gt0 (Qphi s) (1 / 10) (phi_gt0 s)). Qed.

Definition counterexample : case unit_finType B B := stay_or_leave kl_posterior p0 phi_gt0 pi_plus_gt0.

Lemma counterexample_is_exact : Constant.solves_inner_problem counterexample.
Proof. by move=> tau s x _; apply: (closed_form_is_argmax (Qphi s) p0 (phi_gt0 s) x). Qed.

(* The two action values differ by 5/23. *)
Lemma Qphi_stay : Qphi true true = 97 / 23.
Proof. by rewrite /Qphi Q_task /pays /=; have := V_start (value_exists task phi); rewrite /= /coin_prob; lra. Qed.

Lemma Qphi_leave : Qphi true false = 4.
Proof. by rewrite /Qphi Q_task /pays /= (V_absorbing (value_exists task phi)); lra. Qed.

(* e <= 3, so exp(11/5)^5 = e^11 <= 3^11 < 12^5. *)
Lemma exp_bound : exp (11 / 5) < 12.
Proof.
case: (Rlt_le_dec (exp (11 / 5)) 12) => // big.
have twelve : 0 <= 12 by lra.
have low := pow_incr 12 (exp (11 / 5)) 5 (conj twelve big).
have high := pow_incr (exp 1) 3 11 (conj (Rlt_le _ _ (exp_pos 1)) exp_le_3).
have E : exp (11 / 5) ^ 5 = exp 1 ^ 11.
  by rewrite /= !Rmult_1_r -!exp_plus; congr exp; lra.
rewrite E in low; lra.
Qed.

(* The step stays with probability less than 4/7. *)
Lemma pi_plus_stays : pi_plus true true < 4 / 7.
Proof.
have Z : partition (phi true) (Qphi true) (1 / 10) = 1 / 10 * exp (Qphi true true / (1 / 10)) + 9 / 10 * exp (Qphi true false / (1 / 10)).
  by rewrite /partition sum_bool /= /coin_prob; lra.
rewrite /= /softmax_step Z Qphi_stay Qphi_leave /= /coin_prob.
have -> : exp (97 / 23 / (1 / 10)) = exp (50 / 23) * exp (4 / (1 / 10)) by rewrite -exp_plus; congr exp; field.
have e0 := exp_pos (4 / (1 / 10)); have x0 := exp_pos (50 / 23).
have small : exp (50 / 23) < 12 by apply: Rlt_trans exp_bound; apply: exp_increasing; lra.
set y := exp (4 / _) in e0 *; set x := exp (50 / 23) in x0 small *.
have -> : 1 / 10 * (x * y) / (1 / 10 * (x * y) + 9 / 10 * y) = x / (x + 9) by field; split; nra.
apply: (Rmult_lt_reg_r (x + 9)); first lra.
have -> : x / (x + 9) * (x + 9) = x by field; lra.
lra.
Qed.

(* The gap is more than 15/19. *)
Lemma counterexample_gap : 15 / 19 < Constant.gap counterexample tt.
Proof.
rewrite /Constant.gap !return_is_value -/(value task) /=.
rewrite (V_star_is_5 true); have := V_start (value_exists task pi_plus); have := pi_plus_stays.
have := pi_plus_gt0 true true; set x := pi_plus true true; set v := value task pi_plus true => x0 x1 E.
suff : v < 80 / 19 by lra.
by apply: (Rmult_lt_reg_r (1 - 4 / 5 * x)); lra.
Qed.

(* log 10 < log 16 = 4 log 2 <= 4. *)
Lemma ln_10 : ln 10 < 4.
Proof.
have -> : 4 = ln 2 + ln 2 + ln 2 + ln 2 + 4 * (1 - ln 2) by ring.
have l2 : ln 2 <= 2 - 1 by apply: ln_le_sub1; lra.
suff : ln 10 < ln 2 + ln 2 + ln 2 + ln 2 by lra.
by rewrite -!ln_mult; try lra; apply: ln_increasing; lra.
Qed.

(* The published line is less than 15/19. *)
Lemma counterexample_line : published_form counterexample < 15 / 19.
Proof.
rewrite /published_form sum_unit sum_bool.
have -> : Constant.lambda counterexample = 1 / 10 by [].
have -> : Constant.gamma counterexample = 4 / 5 by [].
have -> : Constant.w counterexample tt = 1 by [].
have -> : Constant.p counterexample tt true = 1 / 10 by [].
have -> : Constant.p counterexample tt false = 1048576 / 1048577 by [].
have fl := visitation_exists task phi; have mass1 := flow_sum1 fl; have n0 := flow_ge0 fl false.
set x := Constant.nu_phi counterexample tt true; set y := Constant.nu_phi counterexample tt false.
have start := visit_start fl; rewrite /= /coin_prob in start; rewrite sum_bool in mass1.
have x1 : x = 5 / 23 by rewrite /x /Constant.nu_phi /=; lra.
have y0 : 0 <= y by exact: n0.
have y1 : y <= 1 by rewrite /y /Constant.nu_phi /=; lra.
have l10 : - ln (1 / 10) < 4 by rewrite /Rdiv Rmult_1_l ln_Rinv; [have := ln_10; lra | lra].
have lq : - ln (1048576 / 1048577) <= 1 / 1048576.
  have -> : 1048576 / 1048577 = / (1 + 1 / 1048576) by field.
  by rewrite ln_Rinv; last lra; have := @ln_le_sub1 (1 + 1 / 1048576); lra.
have h : y * - ln (1048576 / 1048577) <= 1 * (1 / 1048576).
  apply: Rmult_le_compat => //.
  by have := @one_sub_le_ln (1048576 / 1048577); lra.
rewrite x1; lra.
Qed.

End Refutation.

Theorem published_bound_is_false : ~ published_bound_claim.
Proof.
move/(_ _ _ _ counterexample erefl counterexample_is_exact).
have := counterexample_gap; have := counterexample_line.
rewrite /published_bound_left /published_bound_bound /published_form !sum_unit.
have -> : Constant.w counterexample tt = 1 by [].
lra.
Qed.
